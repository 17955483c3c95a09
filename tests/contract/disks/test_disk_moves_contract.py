"""Disks that move to another storage pool of their host, with their content, while the guest is off."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import Busy, NotFound, OutOfCapacity, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import VolumeRef
from common.values import GuestRef, PowerAction, PowerState
from tests.contract.disks.test_disk_changes_contract import (
    NO_POOL,
    TOO_LARGE_BYTES,
    attach,
    composed,
    detach,
    disks_in,
    listed,
    orphaned,
    sizes_in,
    sizes_of,
    switch,
)
from tests.contract.support.driver_fixtures import (
    INSTALLATION,
    Capability,
    CapableFixture,
    DriverFixture,
    SimulatedFixture,
    requires,
)
from tests.contract.support.guest_samples import DISK_BYTES, new_marker, volumes_of
from tests.contract.support.lxd_fixtures import LxdFixture

MOVES_DISKS = requires(Capability.DISK_MOVES)
EACH_DISK = pytest.mark.parametrize("index", [0, 1], ids=["root", "other"])


def is_lxd(host: DriverFixture) -> bool:
    return isinstance(host, LxdFixture)


def is_simulated(host: DriverFixture) -> bool:
    return isinstance(host, SimulatedFixture)


def copy_of(host: DriverFixture, spec: GuestSpec, index: int, pool_id: str) -> DiskSpec:
    """LXD's root disk has no volume of its own, and keeps its name in the ledger."""
    keeps_name = index == 0 and is_lxd(host)
    volume = spec.disks[0].volume if keeps_name else host.volume(spec.marker, 9)
    return evolve(spec.disks[index], volume=volume, pool_id=pool_id)


def copy(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, made: DiskSpec) -> str:
    """Returns the state of the complete copy."""
    while not (copied := host.driver.copy_disk(spec.ref, disk.pool_id, disk.volume, made)).is_complete:
        assert copied.percent is not None
    return copied.state


def use(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, made: DiskSpec, state: str) -> PowerState:
    return host.driver.use_copy(spec.ref, disk.pool_id, disk.volume, made, state)


def moved(host: DriverFixture, spec: GuestSpec, index: int, pool_id: str) -> GuestSpec:
    """Returns the machine with the copy in the place of the disk, whose volume still exists."""
    disk, made = spec.disks[index], copy_of(host, spec, index, pool_id)
    assert use(host, spec, disk, made, copy(host, spec, disk, made)) is PowerState.OFF
    return evolve(spec, disks=tuple(made if one == disk else one for one in spec.disks))


def remove(host: DriverFixture, spec: GuestSpec, disk: DiskSpec) -> None:
    host.driver.remove_volumes(spec.marker, [VolumeRef(pool_id=disk.pool_id, name=disk.volume)])


@MOVES_DISKS
@EACH_DISK
def test_a_disk_moves_with_its_content(host: CapableFixture, index: int) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=3)
    contents = [host.write_content(spec, disk) for disk in spec.disks]
    before = listed(host, spec)
    after = moved(host, spec, index, pool_id)
    assert [host.content_of(after, disk) for disk in after.disks] == contents
    assert sizes_in(host, spec) == sizes_of(*after.disks)
    found = listed(host, spec)
    assert [(disk.pool_id, disk.serial, disk.device) for disk in found.disks] == [
        (one.pool_id, disk.serial, disk.device) for one, disk in zip(after.disks, before.disks, strict=True)
    ]
    assert evolve(found, disks=before.disks) == before
    remove(host, spec, spec.disks[index])
    assert orphaned(host, spec) == []
    switch(host, spec, PowerAction.ON)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert sizes_in(host, spec) == sizes_of(*after.disks)


@MOVES_DISKS
@EACH_DISK
def test_a_disk_moves_back(host: CapableFixture, index: int) -> None:
    second, spec = host.second_pool(), composed(host, disks=2)
    first, content = spec.disks[index].pool_id, host.write_content(spec, spec.disks[index])
    there = moved(host, spec, index, second)
    remove(host, spec, spec.disks[index])
    volume = there.disks[index].volume if index == 0 and is_lxd(host) else host.volume(spec.marker, 11)
    made = evolve(there.disks[index], volume=volume, pool_id=first)
    use(host, spec, there.disks[index], made, copy(host, spec, there.disks[index], made))
    remove(host, spec, there.disks[index])
    assert host.content_of(evolve(spec, disks=(made,) if index == 0 else (spec.disks[0], made)), made) == content
    assert orphaned(host, spec) == []
    host.driver.decompose(spec.ref, (*volumes_of(spec), (made.pool_id, made.volume)))
    assert {one for one in host.volumes() if one[1].startswith("ik-")} == set()


@MOVES_DISKS
@EACH_DISK
def test_each_call_can_be_repeated(host: CapableFixture, index: int) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made = spec.disks[index], copy_of(host, spec, index, pool_id)
    content = host.write_content(spec, disk)
    states = [copy(host, spec, disk, made) for _ in range(2)]
    for _ in range(2):
        assert use(host, spec, disk, made, states[-1]) is PowerState.OFF
        assert copy(host, spec, disk, made) == ""
    after = evolve(spec, disks=tuple(made if one == disk else one for one in spec.disks))
    assert host.content_of(after, made) == content
    remove(host, spec, disk)
    assert use(host, spec, disk, made, "") is PowerState.OFF
    assert copy(host, spec, disk, made) == ""
    assert sizes_in(host, spec) == sizes_of(*after.disks)


@MOVES_DISKS
def test_the_copy_is_no_disk_of_the_guest_until_it_is_used(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made = spec.disks[1], copy_of(host, spec, 1, pool_id)
    before, content = listed(host, spec), host.write_content(spec, disk)
    copy(host, spec, disk, made)
    assert listed(host, spec) == before
    assert orphaned(host, spec) == [made.volume]
    assert host.content_of(spec, disk) == content
    remove(host, spec, made)
    assert orphaned(host, spec) == []
    assert listed(host, spec) == before


@MOVES_DISKS
def test_the_volume_of_before_stays_until_it_is_removed(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, content = spec.disks[1], host.write_content(spec, spec.disks[1])
    after = moved(host, spec, 1, pool_id)
    assert orphaned(host, spec) == [disk.volume]
    assert host.content_of(spec, disk) == content
    with pytest.raises(WrongState, match=after.disks[1].volume):
        remove(host, spec, after.disks[1])
    remove(host, spec, disk)
    assert host.content_of(after, after.disks[1]) == content


@MOVES_DISKS
def test_an_incomplete_copy_is_replaced(host: CapableFixture) -> None:
    """As a killed hypervisor leaves one: of the right size, with other content."""
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made = spec.disks[1], copy_of(host, spec, 1, pool_id)
    content = host.write_content(spec, disk)
    copy(host, spec, disk, made)
    if content != "written":
        assert host.write_content(spec, made) != content
    use(host, spec, disk, made, copy(host, spec, disk, made))
    assert host.content_of(spec, made) == content


@MOVES_DISKS
def test_a_disk_that_was_written_since_is_copied_again(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made = spec.disks[1], copy_of(host, spec, 1, pool_id)
    state = copy(host, spec, disk, made)
    switch(host, spec, PowerAction.ON)
    with pytest.raises((Busy, WrongState), match=r"not off|copied again"):
        use(host, spec, disk, made, state)
    switch(host, spec, PowerAction.FORCE_OFF)
    content = host.write_content(spec, disk)
    with pytest.raises(Busy, match=r"copied again"):
        use(host, spec, disk, made, state)
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    use(host, spec, disk, made, copy(host, spec, disk, made))
    assert host.content_of(spec, made) == content


@MOVES_DISKS
@EACH_DISK
def test_a_disk_of_a_running_guest_moves_or_is_rejected(host: CapableFixture, index: int) -> None:
    """LXD moves none, and libvirt not the first one, with which files go that QEMU has open."""
    if not is_lxd(host) and (index or is_simulated(host)):
        moves_live(host, index)
        return
    pool_id, spec = host.second_pool(), composed(host, disks=2, on=True)
    before, made = listed(host, spec), copy_of(host, spec, index, pool_id)
    with pytest.raises(WrongState, match=r"not off.*Shut it down first"):
        copy(host, spec, spec.disks[index], made)
    with pytest.raises((NotFound, WrongState), match=r"not off|has no volume"):
        use(host, spec, spec.disks[index], made, "")
    assert listed(host, spec) == before


def moves_live(host: CapableFixture, index: int) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=3)
    disk, made = spec.disks[index], copy_of(host, spec, index, pool_id)
    contents = [host.write_content(spec, one) for one in spec.disks]
    switch(host, spec, PowerAction.ON)
    before = listed(host, spec)
    with pytest.raises((Busy, NotFound)):
        use(host, spec, disk, made, "")
    copy(host, spec, disk, made)
    assert listed(host, spec) == before
    state = copy(host, spec, disk, made)
    for _ in range(2):
        assert use(host, spec, disk, made, state) is PowerState.ON
        assert copy(host, spec, disk, made) == ""
    after = evolve(spec, disks=tuple(made if one == disk else one for one in spec.disks))
    assert sizes_in(host, spec) == sizes_of(*after.disks)
    assert orphaned(host, spec) == [disk.volume]
    remove(host, spec, disk)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert sizes_in(host, spec) == sizes_of(*after.disks), "the next start has the copy, too"
    assert [host.content_of(after, one) for one in after.disks] == contents


@MOVES_DISKS
def test_a_copy_of_a_running_guest_is_abandoned(host: CapableFixture) -> None:
    if is_lxd(host):
        return
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made = spec.disks[1], copy_of(host, spec, 1, pool_id)
    content = host.write_content(spec, disk)
    switch(host, spec, PowerAction.ON)
    before = listed(host, spec)
    host.driver.copy_disk(spec.ref, disk.pool_id, disk.volume, made)
    remove(host, spec, made)
    assert (listed(host, spec), orphaned(host, spec)) == (before, [])
    copy(host, spec, disk, made)
    switch(host, spec, PowerAction.FORCE_OFF)
    with pytest.raises(Busy, match="copied again"):
        use(host, spec, disk, made, "mirrored")
    use(host, spec, disk, made, copy(host, spec, disk, made))
    assert host.content_of(spec, made) == content


@MOVES_DISKS
@EACH_DISK
def test_what_cannot_be_copied_changes_nothing(host: CapableFixture, index: int) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    disk, made, before = spec.disks[index], copy_of(host, spec, index, pool_id), host.volumes()
    with pytest.raises(NotFound, match=NO_POOL):
        copy(host, spec, disk, evolve(made, pool_id=NO_POOL))
    with pytest.raises(OutOfCapacity, match=str(TOO_LARGE_BYTES)):
        copy(host, spec, disk, evolve(made, size_bytes=TOO_LARGE_BYTES))
    lost = evolve(disk, volume=host.volume(spec.marker, 7))
    with pytest.raises(NotFound, match=lost.volume):
        copy(host, spec, lost, made)
    with pytest.raises(NotFound):
        host.driver.copy_disk(
            GuestRef(name=spec.name, marker=new_marker(INSTALLATION)), disk.pool_id, disk.volume, made
        )  # fmt: skip
    if index:
        with pytest.raises(NotFound, match=made.volume):
            use(host, spec, disk, made, "")
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)


@MOVES_DISKS
def test_the_copy_of_another_guest_is_not_replaced(host: CapableFixture) -> None:
    """A volume that a guest uses is no incomplete copy."""
    pool_id, other, spec = host.second_pool(), composed(host, "other"), composed(host, disks=2)
    made = copy_of(host, spec, 1, pool_id)
    copy(host, spec, spec.disks[1], made)
    attach(host, other, made, create=False)
    content = host.write_content(other, made)
    with pytest.raises(WrongState, match=other.name):
        copy(host, spec, spec.disks[1], made)
    assert host.content_of(other, made) == content
    detach(host, other, made)


@MOVES_DISKS
@EACH_DISK
def test_the_disk_that_boots_still_boots(host: CapableFixture, index: int) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    host.driver.set_boot_disk(spec.ref, spec.disks[index].pool_id, spec.disks[index].volume)
    after = moved(host, spec, index, pool_id)
    assert listed(host, spec).boot_device == disks_in(host, spec)[after.disks[index].volume].device
    assert sizes_in(host, spec)[after.disks[index].volume] == DISK_BYTES
