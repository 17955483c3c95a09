"""The driver with a directory pool and an LVM pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import DriverFailed, OutOfCapacity
from common.guests.guest_spec import GuestSpec
from common.values import PowerAction
from tests.contract.support.guest_samples import new_marker, small_guest, volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.needs import require, why_no_logical_volumes, why_no_volume_groups
from tests.lab.servers.volume_group import SIZE_MIB, VolumeGroup, run, volume_group

MIB = 1024 * 1024
EXTENT = 4 * MIB  # LVM rounds sizes up to this
SECRET = b"what an earlier guest wrote"


@pytest.fixture
def group(qemu: QemuFixture, tmp_path: Path) -> Iterator[VolumeGroup]:
    require(why_no_volume_groups())
    folder = tmp_path.parent / f"{tmp_path.name}-group"  # the fixture's storage pool is the whole test folder
    folder.mkdir()
    with volume_group(qemu.administrator, folder) as created:
        yield created


def spec_of(qemu: QemuFixture, *disks: tuple[str, int]) -> GuestSpec:
    """A guest with a disk of this size in each of these pools."""
    spec = small_guest(f"{qemu.prefix}disks", new_marker(INSTALLATION), [pool_id for pool_id, _ in disks])
    sized = tuple(evolve(disk, size_bytes=size) for disk, (_, size) in zip(spec.disks, disks, strict=True))
    return evolve(spec, disks=sized)


def test_a_full_volume_group_rejects_disks_without_residue(qemu: QemuFixture, group: VolumeGroup) -> None:
    pools = {pool.pool_id: pool for pool in qemu.driver.discover().facts.storage_pools}
    found = pools[group.pool_id]
    assert (found.name, found.type, found.path) == (group.name, "logical", f"/dev/{group.name}")
    assert (SIZE_MIB - 8) * MIB <= found.total_bytes < SIZE_MIB * MIB
    with pytest.raises(OutOfCapacity, match=group.name):
        qemu.driver.compose(spec_of(qemu, (qemu.pool_id, MIB), (group.pool_id, SIZE_MIB * MIB)))
    run("vgexport", group.name)  # LVM cannot create volumes in it now
    spec = spec_of(qemu, (qemu.pool_id, MIB), (group.pool_id, EXTENT))
    with pytest.raises(DriverFailed, match=spec.disks[1].volume):
        qemu.driver.compose(spec)
    run("vgimport", group.name)
    assert (qemu.volumes(), group.logical_volumes(), qemu.driver.find(spec.ref)) == (set(), set(), None)


def test_disks_of_both_pools_have_serials_and_are_deleted(qemu: QemuFixture, group: VolumeGroup) -> None:
    require(why_no_logical_volumes())
    spec = spec_of(qemu, (group.pool_id, 16 * MIB), (qemu.pool_id, 5 * MIB))
    composed = qemu.driver.compose(spec)
    assert [(disk.pool_id, disk.serial, disk.size_bytes) for disk in composed.disks] == [
        (disk.pool_id, disk.serial, disk.size_bytes) for disk in spec.disks
    ]
    assert group.logical_volumes() == {spec.disks[0].volume}
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    running = qemu.driver.find(spec.ref)
    assert running is not None
    assert running.disks == composed.disks
    (listed,) = [guest for guest in qemu.driver.discover().guests if guest.name == spec.name]
    assert [disk.size_bytes for disk in listed.disks] == [16 * MIB, 5 * MIB]
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert (qemu.volumes(), group.logical_volumes()) == (set(), set())


def test_overwriting_leaves_nothing_in_the_volume_group(qemu: QemuFixture, group: VolumeGroup) -> None:
    """Without it, a later volume shows what was on an earlier one."""
    require(why_no_logical_volumes())
    spec = spec_of(qemu, (qemu.pool_id, 5 * MIB), (group.pool_id, 16 * MIB))
    qemu.driver.compose(spec)
    disk = Path(f"/dev/{group.name}/{spec.disks[1].volume}")
    with disk.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(SECRET)
    qemu.driver.undeploy(spec, erase=True)
    assert SECRET in group.content()
    qemu.driver.undeploy(spec, erase=True, overwrite=True)
    assert SECRET not in group.content()
    qemu.driver.decompose(spec.ref, volumes_of(spec))
