"""Guests that begin with copies of the disks of another guest, which does not change."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.errors import NameTaken, NotFound, OutOfCapacity, WrongState
from common.guests.guest_content import DiskSource, GuestContent
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import VolumeRef
from common.values import Guest, PowerAction, PowerState
from tests.contract.disks.test_disk_changes_contract import (
    NO_POOL,
    TOO_LARGE_BYTES,
    composed,
    listed,
    orphaned,
    sizes_in,
    sizes_of,
    switch,
)
from tests.contract.running.test_deployment_contract import content as image_content
from tests.contract.running.test_deployment_contract import seed
from tests.contract.support.driver_fixtures import Capability, CapableFixture, DriverFixture, requires, spec_for
from tests.contract.support.guest_samples import DISK_BYTES, volumes_of

CLONES = requires(Capability.DISK_MOVES)
MAC_ADDRESS = "52:54:00:00:00:c1"


def clone_of(host: DriverFixture, source: GuestSpec, name: str = "clone") -> GuestSpec:
    """A new guest like the source: with an own marker, volumes and MAC address."""
    new = spec_for(host, name, disks=len(source.disks))
    disks = tuple(
        evolve(one, pool_id=original.pool_id, size_bytes=original.size_bytes)
        for one, original in zip(new.disks, source.disks, strict=True)
    )
    return evolve(new, disks=disks, nics=tuple(evolve(nic, mac_address=MAC_ADDRESS) for nic in source.nics[:1]))


def content_from(source: GuestSpec, *, empty: int = 0) -> GuestContent:
    sources = tuple(DiskSource(pool_id=disk.pool_id, volume=disk.volume) for disk in source.disks)
    return GuestContent(source=source.ref, disks=(*sources, *(None,) * empty))


def contents(host: CapableFixture, spec: GuestSpec) -> list[str]:
    return [host.content_of(spec, disk) for disk in spec.disks]


def cloned(host: CapableFixture, source: GuestSpec, name: str = "clone") -> tuple[GuestSpec, Guest]:
    spec = clone_of(host, source, name)
    return spec, host.driver.clone(spec, content_from(source))


@CLONES
def test_a_clone_has_the_content_of_every_disk(host: CapableFixture) -> None:
    source = composed(host, disks=3)
    written = [host.write_content(source, disk) for disk in source.disks]
    before = listed(host, source)
    spec, guest = cloned(host, source)
    assert contents(host, spec) == written
    assert contents(host, source) == written
    assert (guest.marker, guest.name, guest.power) == (spec.marker, spec.name, PowerState.OFF)
    assert guest.guest_id != before.guest_id
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    assert {nic.mac_address.lower() for nic in guest.nics} == {nic.mac_address for nic in spec.nics}
    assert listed(host, source) == before
    assert orphaned(host, source) == orphaned(host, spec) == []


@CLONES
def test_a_clone_and_its_source_live_and_die_on_their_own(host: CapableFixture) -> None:
    source = composed(host, disks=2)
    written = [host.write_content(source, disk) for disk in source.disks]
    spec, _ = cloned(host, source)
    if written[1] != "written":
        assert host.write_content(spec, spec.disks[1]) not in written
    switch(host, spec, PowerAction.ON)
    switch(host, source, PowerAction.ON)
    for one in (spec, source):
        switch(host, one, PowerAction.FORCE_OFF)
    assert contents(host, source)[1] == written[1]
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert contents(host, source)[1] == written[1]
    again, _ = cloned(host, source, "again")
    host.driver.decompose(source.ref, volumes_of(source))
    assert contents(host, again)[1] == written[1]
    switch(host, again, PowerAction.ON)


@CLONES
def test_cloning_can_be_repeated(host: CapableFixture) -> None:
    source = composed(host, disks=2)
    written = [host.write_content(source, disk) for disk in source.disks]
    spec, guest = cloned(host, source)
    assert host.driver.clone(spec, content_from(source)) == guest
    host.driver.decompose(source.ref, volumes_of(source))
    assert host.driver.clone(spec, content_from(source)) == guest
    assert contents(host, spec) == written


@CLONES
def test_incomplete_copies_are_replaced(host: CapableFixture) -> None:
    """As a killed hypervisor leaves them: of the right size, with other content."""
    source = composed(host, disks=2)
    written = [host.write_content(source, disk) for disk in source.disks]
    spec = clone_of(host, source)
    host.make_volume(spec, spec.disks[1])
    host.driver.clone(spec, content_from(source))
    assert contents(host, spec) == written
    assert orphaned(host, spec) == []


@CLONES
def test_disks_can_be_larger_and_more_than_those_of_the_source(host: CapableFixture) -> None:
    source = composed(host, disks=2)
    for disk in source.disks:
        host.write_content(source, disk)
    new = spec_for(host, "larger", disks=3)
    spec = evolve(
        new, disks=(*(evolve(one, size_bytes=2 * DISK_BYTES) for one in new.disks[:2]), new.disks[2]), nics=()
    )
    host.driver.clone(spec, content_from(source, empty=1))
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    switch(host, spec, PowerAction.ON)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    found = contents(host, spec)
    if found[0] == "written":
        assert found == ["written", "written", ""]
    else:
        assert found[1] != found[0]
        assert found[2] == hashlib.sha256(bytes(DISK_BYTES)).hexdigest()


@CLONES
def test_a_disk_can_be_copied_to_another_storage_pool(host: CapableFixture) -> None:
    pool_id, source = host.second_pool(), composed(host, disks=2)
    written = [host.write_content(source, disk) for disk in source.disks]
    spec = clone_of(host, source)
    spec = evolve(spec, disks=tuple(evolve(disk, pool_id=pool_id) for disk in spec.disks))
    guest = host.driver.clone(spec, content_from(source))
    assert {disk.pool_id for disk in guest.disks} == {pool_id}
    assert contents(host, spec) == written


@requires(Capability.DEPLOYMENT)
def test_a_clone_of_a_deployed_guest_has_its_own_cloud_init_data(host: CapableFixture) -> None:
    image, source = image_content(), composed(host, disks=2)
    host.driver.copy_image(image.image, host.pool_id, image)
    host.driver.deploy(source, image.image, seed(b"#cloud-config\n{source: 1}\n"))
    spec, own = clone_of(host, source), seed(b"#cloud-config\n{clone: 1}\n")
    host.driver.clone(spec, evolve(content_from(source), seed=own))
    assert host.root_disk_holds(spec, image.image)
    assert host.user_data(spec) == own.user_data
    assert host.user_data(source) == b"#cloud-config\n{source: 1}\n"
    plain = clone_of(host, source, "plain")
    host.driver.clone(evolve(plain, nics=()), content_from(source))
    assert host.user_data(plain) is None


@CLONES
def test_a_running_guest_is_not_cloned(host: CapableFixture) -> None:
    source, before = composed(host, disks=2, on=True), host.volumes()
    spec = clone_of(host, source)
    with pytest.raises(WrongState, match=r"not off.*Shut it down first"):
        host.driver.clone(spec, content_from(source))
    assert host.volumes() == before
    assert host.driver.find(spec.ref) is None


@CLONES
def test_what_cannot_be_cloned_leaves_nothing(host: CapableFixture) -> None:
    source = composed(host, disks=2)
    spec, before = clone_of(host, source), host.volumes()

    def refused(new: GuestSpec, content: GuestContent) -> None:
        host.driver.clone(new, content)

    content = content_from(source)
    with pytest.raises(NameTaken, match=source.name):
        refused(evolve(spec, name=source.name), content)
    with pytest.raises(OutOfCapacity, match=str(TOO_LARGE_BYTES)):
        refused(_with_second(spec, size_bytes=TOO_LARGE_BYTES), content)
    with pytest.raises(NotFound, match=NO_POOL):
        refused(_with_second(spec, pool_id=NO_POOL), content)
    lost = host.volume(source.marker, 7)
    with pytest.raises(NotFound, match=lost):
        refused(spec, evolve(content, disks=(content.disks[0], DiskSource(pool_id=host.pool_id, volume=lost))))
    gone = evolve(source.marker, machine_id=UUID(int=7))
    with pytest.raises(NotFound):
        refused(spec, evolve(content, source=evolve(content.source, marker=gone)))
    assert host.volumes() == before
    assert host.driver.find(spec.ref) is None
    assert sizes_in(host, source) == sizes_of(*source.disks)


def _with_second(spec: GuestSpec, **changes: Any) -> GuestSpec:
    root, second = spec.disks
    return evolve(spec, disks=(root, evolve(second, **changes)))


@CLONES
def test_a_removed_clone_leaves_the_volumes_of_others(host: CapableFixture) -> None:
    source = composed(host, disks=2)
    spec, _ = cloned(host, source)
    before: set[tuple[str, str]] = host.volumes()
    host.driver.remove_volumes(spec.marker, [_ref(disk) for disk in source.disks])
    assert host.volumes() == before


def _ref(disk: DiskSpec) -> VolumeRef:
    return VolumeRef(pool_id=disk.pool_id, name=disk.volume)


@CLONES
def test_a_clone_has_the_firmware_of_its_source_whatever_is_deployed(host: CapableFixture) -> None:
    source = evolve(spec_for(host, "modern"), uefi=True)
    host.driver.compose(source)
    spec, guest = cloned(host, source)
    assert (guest.uefi, guest.secure_boot) == (True, False)
    host.driver.undeploy(spec)
    assert listed(host, spec).uefi is True
