"""Disks that a guest gets and loses: at once, also while it runs; a volume that it loses stays, with its content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from attrs import evolve

from common.errors import NotFound, OutOfCapacity, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import VolumeRef
from common.values import Guest, GuestDisk, GuestRef, PowerAction, PowerState
from tests.contract.support.driver_fixtures import (
    EVERY_HOST,
    FIXTURES,
    INSTALLATION,
    Capability,
    CapableFixture,
    DriverFixture,
    requires,
    spec_for,
)
from tests.contract.support.guest_samples import DISK_BYTES, new_marker, volumes_of

GRACE_S = 0.1
NO_POOL = "3b2a1c00-0000-4000-8000-00000000dead"
TOO_LARGE_BYTES = 10**15

IN_EITHER_STATE = pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON], ids=["off", "on"])

# libvirt's test driver, in release 9.0, has no call that gives a running guest a device.
_RIGID = {"libvirt-test"}
RIGID_HOST = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in _RIGID], indirect=True)
TAKES_DISKS_WHILE_ON = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id not in _RIGID], indirect=True)
EVERY_HOST_IN_EITHER_STATE = pytest.mark.parametrize(
    ("host", "power"),
    [
        pytest.param(*one.values, power, id=f"{one.id}-{power}", marks=one.marks)
        for one in FIXTURES
        for power in (PowerState.OFF, PowerState.ON)
        if one.id not in _RIGID or power is PowerState.OFF
    ],
    indirect=["host"],
)


def composed(host: DriverFixture, name: str = "disks", *, disks: int = 1, on: bool = False) -> GuestSpec:
    """A guest beside the one of the default name has no NIC, which would have the same MAC address."""
    spec = spec_for(host, name, disks=disks)
    spec = spec if name == "disks" else evolve(spec, nics=())
    host.driver.compose(spec)
    if on:
        switch(host, spec, PowerAction.ON)
    return spec


def switch(host: DriverFixture, spec: GuestSpec, action: PowerAction) -> None:
    host.driver.power(spec.ref, action, grace_s=GRACE_S)


def disk_of(host: DriverFixture, spec: GuestSpec, index: int = 1) -> DiskSpec:
    """A further disk of the machine."""
    return DiskSpec(
        volume=host.volume(spec.marker, index),
        pool_id=host.pool_id,
        size_bytes=DISK_BYTES,
        serial=host.serial(spec.marker, index),
    )


def attach(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, index: int = 1, *, create: bool = True) -> PowerState:
    return host.driver.attach_disk(spec.ref, disk, index, create=create)


def detach(host: DriverFixture, spec: GuestSpec, disk: DiskSpec) -> PowerState:
    return host.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it, which agrees with a search for it."""
    found = host.driver.discover()
    assert spec.name not in {problem.subject for problem in found.problems}
    (guest,) = [guest for guest in found.guests if guest.marker == spec.marker]
    searched = host.driver.find(spec.ref)
    assert searched is not None
    assert by_volume(searched.disks) == by_volume(guest.disks)
    return guest


def by_volume(disks: Iterable[GuestDisk]) -> Mapping[str, GuestDisk]:
    return {disk.volume or "": disk for disk in disks}


def disks_in(host: DriverFixture, spec: GuestSpec) -> Mapping[str, GuestDisk]:
    return by_volume(listed(host, spec).disks)


def sizes_in(host: DriverFixture, spec: GuestSpec) -> Mapping[str, int]:
    return {volume: disk.size_bytes for volume, disk in disks_in(host, spec).items()}


def sizes_of(*disks: DiskSpec) -> Mapping[str, int]:
    return {disk.volume: disk.size_bytes for disk in disks}


def orphaned(host: DriverFixture, spec: GuestSpec) -> list[str]:
    """The volumes that are named after the machine and that no guest uses."""
    return [one.name for one in host.driver.discover().orphaned_volumes if one.marker == spec.marker]


def remove(host: DriverFixture, spec: GuestSpec, disk: DiskSpec) -> None:
    host.driver.remove_volumes(spec.marker, [VolumeRef(pool_id=disk.pool_id, name=disk.volume)])


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.clusters
def test_a_guest_gets_a_new_disk_at_once(host: DriverFixture, power: PowerState) -> None:
    spec = composed(host, on=power is PowerState.ON)
    before, disk = listed(host, spec), disk_of(host, spec)
    for _ in range(2):
        assert attach(host, spec, disk) is power
        after = listed(host, spec)
        assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)
        assert by_volume(after.disks)[disk.volume].serial == disk.serial
        assert evolve(after, disks=before.disks) == before
    assert (disk.pool_id, disk.volume) in host.volumes()
    assert orphaned(host, spec) == []
    switch(host, spec, PowerAction.CYCLE)
    assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)


@TAKES_DISKS_WHILE_ON
@pytest.mark.doubles_suffice
def test_a_running_guest_gets_several_disks(host: DriverFixture) -> None:
    spec = composed(host, disks=2, on=True)
    added = [disk_of(host, spec, index) for index in (2, 3, 4)]
    for index, disk in enumerate(added, start=2):
        assert attach(host, spec, disk, index) is PowerState.ON
    assert sizes_in(host, spec) == sizes_of(*spec.disks, *added)
    serials = [disk.serial for disk in disks_in(host, spec).values()]
    assert len(set(serials)) == len(serials)


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.parametrize("create", [True, False], ids=["create", "existing"])
def test_a_volume_that_exists_is_attached(host: DriverFixture, power: PowerState, create: bool) -> None:
    spec = composed(host, on=power is PowerState.ON)
    disk = disk_of(host, spec)
    host.make_volume(spec, disk)
    before = host.volumes()
    for _ in range(2):
        assert attach(host, spec, disk, create=create) is power
    assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)
    assert host.volumes() == before


@EVERY_HOST
@pytest.mark.clusters
def test_a_volume_of_another_size_is_not_taken_for_a_new_one(host: DriverFixture) -> None:
    spec = composed(host)
    disk = disk_of(host, spec)
    host.make_volume(spec, disk)
    before = host.volumes()
    with pytest.raises(WrongState, match=disk.volume):
        attach(host, spec, evolve(disk, size_bytes=2 * DISK_BYTES))
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)
    attach(host, spec, evolve(disk, size_bytes=2 * DISK_BYTES), create=False)
    assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)


@EVERY_HOST
@pytest.mark.parametrize("create", [True, False], ids=["create", "existing"])
def test_a_volume_of_another_guest_is_not_attached(host: DriverFixture, create: bool) -> None:
    owner, spec = composed(host, "owner", disks=2), composed(host)
    for action in (PowerAction.FORCE_OFF, PowerAction.ON):
        switch(host, owner, action)
        with pytest.raises(WrongState, match=owner.name):
            attach(host, spec, owner.disks[1], create=create)
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    assert sizes_in(host, owner) == sizes_of(*owner.disks)


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.doubles_suffice
def test_a_disk_that_cannot_be_made_changes_nothing(host: DriverFixture, power: PowerState) -> None:
    spec = composed(host, on=power is PowerState.ON)
    before, disk = host.volumes(), disk_of(host, spec)
    for create in (True, False):
        with pytest.raises(NotFound, match=NO_POOL):
            attach(host, spec, evolve(disk, pool_id=NO_POOL), create=create)
    with pytest.raises(NotFound, match=disk.volume):
        attach(host, spec, disk, create=False)
    with pytest.raises(OutOfCapacity, match=str(TOO_LARGE_BYTES)):
        attach(host, spec, evolve(disk, size_bytes=TOO_LARGE_BYTES))
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)
    assert attach(host, spec, disk) is power


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_only_the_guest_with_the_marker_gets_and_loses_disks(host: DriverFixture) -> None:
    foreign = f"{host.prefix}foreign"
    host.make_foreign(foreign)
    other = spec_for(host, "other")
    ref = GuestRef(name=foreign, marker=new_marker(INSTALLATION))
    before, volumes = next(one for one in host.driver.discover().guests if one.name == foreign), host.volumes()
    with pytest.raises(NotFound):
        host.driver.attach_disk(ref, disk_of(host, other), 1, create=True)
    for disk in before.disks:
        with pytest.raises(NotFound):
            host.driver.detach_disk(ref, disk.pool_id or "", disk.volume or "")
    assert next(one for one in host.driver.discover().guests if one.name == foreign) == before
    assert host.volumes() == volumes


@EVERY_HOST
@pytest.mark.clusters
def test_a_guest_that_is_off_loses_a_disk_and_its_volume_stays(host: DriverFixture) -> None:
    spec = composed(host, disks=3)
    before, volumes, (root, lost, kept) = listed(host, spec), host.volumes(), spec.disks
    for _ in range(2):
        assert detach(host, spec, lost) is PowerState.OFF
        after = listed(host, spec)
        assert by_volume(after.disks).keys() == {root.volume, kept.volume}
        assert (after.marker, after.nics) == (before.marker, before.nics)
        assert host.volumes() == volumes
        assert orphaned(host, spec) == [lost.volume]
    switch(host, spec, PowerAction.ON)
    assert sizes_in(host, spec) == sizes_of(root, kept)
    remove(host, spec, lost)
    assert host.volumes() == volumes - {(lost.pool_id, lost.volume)}


@EVERY_HOST
@pytest.mark.clusters
def test_a_running_guest_loses_a_disk_or_keeps_it(host: DriverFixture) -> None:
    """No system runs in it, which some hypervisors need to take a disk away."""
    spec = composed(host, disks=3, on=True)
    before, (root, lost, kept) = listed(host, spec), spec.disks
    try:
        assert detach(host, spec, lost) is PowerState.ON
    except WrongState:
        assert listed(host, spec) == before
        switch(host, spec, PowerAction.FORCE_OFF)
        detach(host, spec, lost)
    assert sizes_in(host, spec) == sizes_of(root, kept)
    switch(host, spec, PowerAction.CYCLE)
    assert sizes_in(host, spec) == sizes_of(root, kept)
    assert orphaned(host, spec) == [lost.volume]


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.doubles_suffice
def test_a_disk_can_be_attached_again(host: DriverFixture, power: PowerState) -> None:
    spec = composed(host, disks=2)
    detach(host, spec, spec.disks[1])
    if power is PowerState.ON:
        switch(host, spec, PowerAction.ON)
    assert attach(host, spec, spec.disks[1], create=False) is power
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    assert disks_in(host, spec)[spec.disks[1].volume].serial == spec.disks[1].serial


@EVERY_HOST
def test_a_guest_boots_without_the_boot_disk_that_it_lost(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    chosen = spec.disks[1]
    host.driver.set_boot_disk(spec.ref, chosen.pool_id, chosen.volume)
    detach(host, spec, chosen)
    assert listed(host, spec).boot_device == disks_in(host, spec)[spec.disks[0].volume].device
    attach(host, spec, chosen, create=False)
    assert listed(host, spec).boot_device == disks_in(host, spec)[spec.disks[0].volume].device


@requires(Capability.DEPLOYMENT)
@IN_EITHER_STATE
@pytest.mark.clusters
def test_a_disk_keeps_its_content_in_another_guest(host: CapableFixture, power: PowerState) -> None:
    first, second = composed(host, "first", disks=2), composed(host, "second", on=power is PowerState.ON)
    host.write_to_disks(first)
    kept = first.disks[1]
    detach(host, first, kept)
    assert attach(host, second, kept) is power
    assert host.written_disks(evolve(second, disks=(*second.disks, kept)))[1]


@EVERY_HOST
@pytest.mark.clusters
def test_a_disk_of_another_machine_stays_when_a_guest_goes(host: DriverFixture) -> None:
    """It keeps its name, which is not that of the guest's other disks."""
    first, second = composed(host, "first", disks=2), composed(host, "second")
    kept = first.disks[1]
    detach(host, first, kept)
    attach(host, second, kept, create=False)
    assert sizes_in(host, second) == sizes_of(*second.disks, kept)
    assert sizes_in(host, first) == sizes_of(first.disks[0])
    assert (orphaned(host, first), orphaned(host, second)) == ([], [])
    host.driver.decompose(second.ref, volumes_of(second))
    assert (kept.pool_id, kept.volume) in host.volumes()
    assert orphaned(host, first) == [kept.volume]


@EVERY_HOST
@pytest.mark.clusters
def test_a_disk_that_moved_outlives_the_machine_of_its_name(host: DriverFixture) -> None:
    first, second = composed(host, "first", disks=2), composed(host, "second")
    moved = first.disks[1]
    detach(host, first, moved)
    attach(host, second, moved, create=False)
    host.driver.decompose(first.ref, volumes_of(first))
    with pytest.raises(WrongState, match=moved.volume):
        remove(host, first, moved)
    assert sizes_in(host, second) == sizes_of(*second.disks, moved)
    switch(host, second, PowerAction.ON)
    switch(host, second, PowerAction.FORCE_OFF)
    detach(host, second, moved)
    remove(host, first, moved)
    assert (moved.pool_id, moved.volume) not in host.volumes()


@EVERY_HOST
def test_a_detached_disk_stays_when_its_own_guest_goes(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    root, kept = spec.disks
    detach(host, spec, kept)
    host.driver.decompose(spec.ref, ((root.pool_id, root.volume),))
    assert orphaned(host, spec) == [kept.volume]
    remove(host, spec, kept)


@RIGID_HOST
def test_a_running_guest_that_takes_no_disk_gets_it_while_off(host: DriverFixture) -> None:
    spec = composed(host, disks=2, on=True)
    before, volumes, disk = listed(host, spec), host.volumes(), disk_of(host, spec, 2)
    with pytest.raises(WrongState, match=r"while it runs: .* It can be attached while"):
        attach(host, spec, disk, 2)
    with pytest.raises(WrongState, match="shut the guest down first"):
        detach(host, spec, spec.disks[1])
    assert (listed(host, spec), host.volumes()) == (before, volumes)
    switch(host, spec, PowerAction.FORCE_OFF)
    attach(host, spec, disk, 2)
    assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)
