"""Disks that grow: at once while a guest is off, as far as possible while it runs, the rest at its start."""

from __future__ import annotations

import pytest

from common.errors import NotFound, OutOfCapacity, Unsupported
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize, GrownDisk
from common.values import GuestRef, PowerAction, PowerState
from tests.contract.disks.test_disk_changes_contract import (
    TOO_LARGE_BYTES,
    composed,
    disk_of,
    listed,
    sizes_in,
    sizes_of,
)
from tests.contract.support.driver_fixtures import EVERY_HOST, FIXTURES, INSTALLATION, DriverFixture
from tests.contract.support.guest_samples import DISK_BYTES, new_marker

GRACE_S = 0.1
GROWN_BYTES = 2 * DISK_BYTES

# libvirt's test driver has no call that resizes a volume.
_RIGID = {"libvirt-test"}
GROWING_HOST = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id not in _RIGID], indirect=True)
RIGID_HOST = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in _RIGID], indirect=True)
EACH_DISK = pytest.mark.parametrize("index", [0, 1], ids=["root", "other"])


def size(disk: DiskSpec, size_bytes: int = GROWN_BYTES) -> DiskSize:
    return DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=size_bytes)


def grow(host: DriverFixture, spec: GuestSpec, index: int, size_bytes: int = GROWN_BYTES) -> GrownDisk:
    return host.driver.grow_disk(spec.ref, size(spec.disks[index], size_bytes))


def switch(host: DriverFixture, spec: GuestSpec, action: PowerAction, *sizes: DiskSize) -> PowerState:
    return host.driver.power(spec.ref, action, grace_s=GRACE_S, disk_sizes=sizes)


def size_of(host: DriverFixture, spec: GuestSpec, index: int) -> int:
    return sizes_in(host, spec)[spec.disks[index].volume]


@GROWING_HOST
@EACH_DISK
@pytest.mark.clusters
def test_a_disk_of_a_guest_that_is_off_grows_at_once(host: DriverFixture, index: int) -> None:
    spec = composed(host, disks=2)
    before, volumes = listed(host, spec), host.volumes()
    for _ in range(2):
        assert grow(host, spec, index) == GrownDisk(size_bytes=GROWN_BYTES, power=PowerState.OFF)
        after = listed(host, spec)
        assert (size_of(host, spec, index), size_of(host, spec, 1 - index)) == (GROWN_BYTES, DISK_BYTES)
        assert (after.boot_device, after.nics, after.marker) == (before.boot_device, before.nics, before.marker)
    assert grow(host, spec, index, GROWN_BYTES + 4096).size_bytes >= GROWN_BYTES + 4096
    assert host.volumes() == volumes
    assert switch(host, spec, PowerAction.ON) is PowerState.ON


@GROWING_HOST
@EACH_DISK
@pytest.mark.clusters
def test_what_a_running_guest_cannot_grow_comes_with_the_restart(host: DriverFixture, index: int) -> None:
    spec = composed(host, disks=2)
    switch(host, spec, PowerAction.ON)
    grown = grow(host, spec, index)
    assert grown.power is PowerState.ON
    assert grown.size_bytes in {DISK_BYTES, GROWN_BYTES}
    assert size_of(host, spec, index) == grown.size_bytes
    assert grow(host, spec, index) == grown
    assert listed(host, spec).power is PowerState.ON
    assert switch(host, spec, PowerAction.CYCLE, size(spec.disks[index])) is PowerState.ON
    assert (size_of(host, spec, index), size_of(host, spec, 1 - index)) == (GROWN_BYTES, DISK_BYTES)


@GROWING_HOST
def test_several_disks_grow_with_the_next_start(host: DriverFixture) -> None:
    spec = composed(host, disks=3)
    wanted = [size(disk, times * DISK_BYTES) for times, disk in enumerate(spec.disks, start=2)]
    assert switch(host, spec, PowerAction.FORCE_OFF, *wanted) is PowerState.OFF
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    assert switch(host, spec, PowerAction.ON, *wanted) is PowerState.ON
    assert sizes_in(host, spec) == {one.volume: one.size_bytes for one in wanted}


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_a_start_grows_no_disk_of_a_guest_that_keeps_running(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    switch(host, spec, PowerAction.ON)
    assert switch(host, spec, PowerAction.ON, size(spec.disks[1])) is PowerState.ON
    assert sizes_in(host, spec) == sizes_of(*spec.disks)


@EVERY_HOST
@EACH_DISK
def test_no_disk_shrinks(host: DriverFixture, index: int) -> None:
    spec = composed(host, disks=2)
    for power in (PowerState.OFF, PowerState.ON):
        assert grow(host, spec, index, DISK_BYTES // 2) == GrownDisk(size_bytes=DISK_BYTES, power=power)
        assert grow(host, spec, index, DISK_BYTES) == GrownDisk(size_bytes=DISK_BYTES, power=power)
        switch(host, spec, PowerAction.ON, size(spec.disks[index], DISK_BYTES // 2))
        assert sizes_in(host, spec) == sizes_of(*spec.disks)


@GROWING_HOST
@EACH_DISK
def test_no_disk_grows_beyond_what_the_pool_has_left(host: DriverFixture, index: int) -> None:
    spec = composed(host, disks=2)
    for _ in ("off", "on"):
        with pytest.raises(OutOfCapacity, match=str(TOO_LARGE_BYTES - DISK_BYTES)):
            grow(host, spec, index, TOO_LARGE_BYTES)
        assert sizes_in(host, spec) == sizes_of(*spec.disks)
        switch(host, spec, PowerAction.ON)


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_a_guest_starts_although_a_disk_cannot_grow(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    refused = (size(spec.disks[1], TOO_LARGE_BYTES), size(disk_of(host, spec, 7)))
    for action in (PowerAction.ON, PowerAction.CYCLE):
        assert switch(host, spec, action, *refused) is PowerState.ON
        assert sizes_in(host, spec) == sizes_of(*spec.disks)


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_a_disk_that_the_guest_lacks_does_not_grow(host: DriverFixture) -> None:
    owner, spec = composed(host, "owner", disks=2), composed(host)
    for disk in (disk_of(host, spec), owner.disks[1]):
        with pytest.raises(NotFound, match=f"no disk {disk.volume} any more"):
            host.driver.grow_disk(spec.ref, size(disk))
    with pytest.raises(NotFound):
        host.driver.grow_disk(GuestRef(name=spec.name, marker=new_marker(INSTALLATION)), size(spec.disks[0]))
    assert (sizes_in(host, spec), sizes_in(host, owner)) == (sizes_of(*spec.disks), sizes_of(*owner.disks))


@RIGID_HOST
def test_a_volume_that_cannot_grow_is_unsupported(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    with pytest.raises(Unsupported, match=spec.disks[1].volume):
        grow(host, spec, 1)
    assert switch(host, spec, PowerAction.ON, size(spec.disks[1])) is PowerState.ON
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
