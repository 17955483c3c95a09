"""Real QEMU moves a disk while its guest writes: no byte is lost, and both definitions of the domain have the copy."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from attrs import evolve

from common.disks.volume_names import volume_name
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import VolumeRef
from common.values import PowerAction, PowerState
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.libvirt.test_libvirt_disks import composed, definitions, disk_of, domain_of
from tests.lab.servers.needs import require, why_no_logical_volumes, why_no_volume_groups
from tests.lab.servers.volume_group import VolumeGroup, volume_group
from tests.lab.support.libvirt_specs import DISK_BYTES

BLOCK = 64 * 1024


def running(qemu: QemuFixture, tmp_path: Path) -> tuple[GuestSpec, DiskSpec, Path]:
    """Returns a running guest, its second disk and the file of that."""
    spec = composed(qemu, on=True)
    disk = disk_of(spec)
    qemu.driver.attach_disk(spec.ref, disk, 1, create=True)
    return spec, disk, tmp_path / disk.volume


def write_as_guest(spec: GuestSpec, offset: int, pattern: int) -> None:
    """Writes a block to the second disk as its guest does, through the device."""
    command = f'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "write -P {pattern} {offset} {BLOCK}"'
    done = subprocess.run(
        ["virsh", "-c", "qemu:///system", "qemu-monitor-command", spec.name, "--hmp", command],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stdout.strip(), "errors only: QEMU prints what was written to its own output"


def copied(qemu: QemuFixture, spec: GuestSpec, disk: DiskSpec, pool_id: str) -> DiskSpec:
    """Returns the copy to which QEMU writes as well."""
    copy = evolve(disk, pool_id=pool_id, volume=volume_name(spec.marker, 9))
    while not qemu.driver.copy_disk(spec.ref, disk.pool_id, disk.volume, copy).is_complete:
        pass
    return copy


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()[:DISK_BYTES]).hexdigest()


def path_in(qemu: QemuFixture, disk: DiskSpec) -> Path:
    pool = qemu.administrator.storagePoolLookupByUUIDString(disk.pool_id)
    return Path(pool.storageVolLookupByName(disk.volume).path())


def test_what_the_guest_writes_meanwhile_is_in_the_copy(qemu: QemuFixture, tmp_path: Path) -> None:
    spec, disk, file = running(qemu, tmp_path)
    write_as_guest(spec, 0, 17)
    copy = copied(qemu, spec, disk, qemu.second_pool())
    write_as_guest(spec, BLOCK, 34)
    assert qemu.driver.use_copy(spec.ref, disk.pool_id, disk.volume, copy, "mirrored") is PowerState.ON
    before = sha256(file)
    path = path_in(qemu, copy)
    assert sha256(path) == before
    write_as_guest(spec, 2 * BLOCK, 51)
    assert definitions(qemu, spec)[0] == definitions(qemu, spec)[1]
    qemu.driver.remove_volumes(spec.marker, [VolumeRef(pool_id=disk.pool_id, name=disk.volume)])
    assert not file.exists()
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    head = path.read_bytes()[: 3 * BLOCK]
    assert head == bytes([17]) * BLOCK + bytes([34]) * BLOCK + bytes([51]) * BLOCK


def test_libvirt_itself_writes_the_copy_to_both_definitions(qemu: QemuFixture, tmp_path: Path) -> None:
    """So that a rack killed after it asked for that leaves no guest whose next start has the old volume."""
    spec, disk, _ = running(qemu, tmp_path)
    copy = copied(qemu, spec, disk, qemu.second_pool())
    domain_of(qemu, spec).blockJobAbort("vdb", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
    live, persistent = definitions(qemu, spec)
    assert live["vdb"] == persistent["vdb"] == copy.volume
    assert qemu.driver.copy_disk(spec.ref, disk.pool_id, disk.volume, copy).is_complete
    assert qemu.driver.use_copy(spec.ref, disk.pool_id, disk.volume, copy, "") is PowerState.ON


def test_an_abandoned_copy_loses_nothing(qemu: QemuFixture, tmp_path: Path) -> None:
    spec, disk, file = running(qemu, tmp_path)
    copy = copied(qemu, spec, disk, qemu.second_pool())
    write_as_guest(spec, 0, 17)
    qemu.driver.remove_volumes(spec.marker, [VolumeRef(pool_id=copy.pool_id, name=copy.volume)])
    assert domain_of(qemu, spec).blockJobInfo("vdb") == {}
    write_as_guest(spec, BLOCK, 34)
    assert [found["vdb"] for found in definitions(qemu, spec)] == [disk.volume, disk.volume]
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    assert file.read_bytes()[: 2 * BLOCK] == bytes([17]) * BLOCK + bytes([34]) * BLOCK


@pytest.fixture
def group(qemu: QemuFixture, tmp_path: Path) -> Iterator[VolumeGroup]:
    require(why_no_volume_groups())
    require(why_no_logical_volumes())
    folder = tmp_path.parent / f"{tmp_path.name}-group"  # the fixture's storage pool is the whole test folder
    folder.mkdir()
    with volume_group(qemu.administrator, folder) as created:
        yield created


def test_a_disk_moves_to_a_logical_volume_while_its_guest_runs(
    qemu: QemuFixture, group: VolumeGroup, tmp_path: Path
) -> None:
    spec, disk, _ = running(qemu, tmp_path)
    write_as_guest(spec, 0, 17)
    copy = copied(qemu, spec, disk, group.pool_id)
    assert qemu.driver.use_copy(spec.ref, disk.pool_id, disk.volume, copy, "mirrored") is PowerState.ON
    found = qemu.driver.find(spec.ref)
    assert found is not None
    assert [(one.pool_id, one.volume) for one in found.disks][1] == (copy.pool_id, copy.volume)
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    with path_in(qemu, copy).open("rb") as device:
        assert device.read(BLOCK) == bytes([17]) * BLOCK
