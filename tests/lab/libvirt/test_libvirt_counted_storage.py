"""What a real libvirt host has, counted as it is: disks by any definition, no drives, and each file system once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest

from common.errors import InnkeeperError
from common.values import Guest, GuestDisk, StoragePool
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.contract.support.libvirt_fixtures import QemuFixture, pool_element
from tests.deployment.deployment import Deployment
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.volume_group import run
from tests.lab.support.deployed_host import add_libvirt

GIB, MIB = 1024**3, 1024**2


def define(qemu: QemuFixture, name: str, *disks: str) -> None:
    qemu.administrator.defineXML(
        f"""<domain type='qemu'><name>{qemu.prefix}{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
        <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{"".join(disks)}</devices></domain>"""
    )


def volume_disk(qemu: QemuFixture, volume: str, target: str = "vda", kind: str = "disk") -> str:
    pool = qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).name()
    return f"""<disk type='volume' device='{kind}'><driver name='qemu' type='qcow2'/>
        <source pool='{pool}' volume='{volume}'/><target dev='{target}' bus='{"virtio" if kind == "disk" else "sata"}'/>
        </disk>"""


def file_disk(path: Path, target: str, kind: str, bus: str) -> str:
    return f"""<disk type='file' device='{kind}'><driver name='qemu' type='raw'/><source file='{path}'/>
        <target dev='{target}' bus='{bus}'/></disk>"""


def found(qemu: QemuFixture, name: str) -> Guest:
    (guest,) = [one for one in qemu.driver.discover().guests if one.name == f"{qemu.prefix}{name}"]
    return guest


def make_volume(qemu: QemuFixture, folder: Path, name: str, size: str) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", str(folder / name), size)
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()


def test_a_disk_named_by_pool_and_volume_is_one_off_as_on(qemu: QemuFixture, tmp_path: Path) -> None:
    make_volume(qemu, tmp_path, "named.qcow2", "3G")
    define(qemu, "named", volume_disk(qemu, "named.qcow2"))
    expected = (GuestDisk(device="vda", size_bytes=3 * GIB, pool_id=qemu.pool_id, volume="named.qcow2"),)
    assert found(qemu, "named").disks == expected
    domain = qemu.administrator.lookupByName(f"{qemu.prefix}named")
    domain.create()
    assert found(qemu, "named").disks == expected
    domain.destroy()
    (tmp_path / "named.qcow2").unlink()
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    assert [(disk.volume, disk.missing) for disk in found(qemu, "named").disks] == [("named.qcow2", True)]


def test_drives_of_cds_and_floppies_are_no_disks(qemu: QemuFixture, tmp_path: Path) -> None:
    for name in ("root.qcow2", "cd.qcow2"):
        make_volume(qemu, tmp_path, name, "2G")
    for name in ("seed.img", "drivers.vfd", "tools"):
        (tmp_path / name).write_bytes(b"\0" * MIB)
    define(
        qemu,
        "drives",
        volume_disk(qemu, "root.qcow2"),
        file_disk(tmp_path / "seed.img", "sda", "cdrom", "sata"),
        file_disk(tmp_path / "tools", "sdb", "cdrom", "scsi"),
        volume_disk(qemu, "cd.qcow2", "sdc", "cdrom").replace("qcow2'/>", "raw'/>", 1),
        file_disk(tmp_path / "drivers.vfd", "fda", "floppy", "fdc"),
        "<disk type='file' device='cdrom'><target dev='sdd' bus='sata'/></disk>",
    )
    assert [(disk.device, disk.size_bytes) for disk in found(qemu, "drives").disks] == [("vda", 2 * GIB)]


def pools_of(qemu: QemuFixture) -> dict[str, StoragePool]:
    return {pool.pool_id: pool for pool in qemu.driver.discover().facts.storage_pools}


@contextmanager
def formatted(folder: Path, size_mib: int) -> Iterator[str]:
    """Yields a device with a new file system."""
    image = folder / f"{uuid4().hex[:6]}.img"
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    run("mkfs.ext4", "-q", "-F", str(image))
    device = run("losetup", "--find", "--show", str(image))
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Yields the folder of a new file system of 64 MiB."""
    path = folder / uuid4().hex[:6]
    path.mkdir()
    with formatted(folder, 64) as device:
        run("mount", device, str(path))
        try:
            yield path
        finally:
            run("umount", str(path))


@contextmanager
def pool(qemu: QemuFixture, xml: ET.Element) -> Iterator[str]:
    """Yields the UUID of a pool, which exists until the block ends."""
    made = qemu.administrator.storagePoolCreateXML(ET.tostring(xml, encoding="unicode"))
    try:
        yield made.UUIDString()
    finally:
        made.destroy()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not in the fixture's storage pool, which is the whole folder of the test."""
    folder = tmp_path.parent / f"{tmp_path.name}-outside"
    folder.mkdir()
    return folder


def test_two_folders_of_one_file_system_share_it(qemu: QemuFixture) -> None:
    second = qemu.second_pool()
    pools = pools_of(qemu)
    assert pools[second].storage_id == pools[qemu.pool_id].storage_id != ""
    assert pools[second].used_elsewhere_bytes == pools[qemu.pool_id].used_elsewhere_bytes


def test_two_file_systems_of_one_size_are_two_and_a_link_is_none(qemu: QemuFixture, outside: Path) -> None:
    with mounted(outside) as first, mounted(outside) as second, ExitStack() as made:
        link = outside / "link"
        link.symlink_to(first)
        ids = [
            made.enter_context(pool(qemu, pool_element(f"{qemu.prefix}{number}", path)))
            for number, path in enumerate((first, second, link))
        ]
        pools = pools_of(qemu)
        one, other, linked = [pools[pool_id] for pool_id in ids]
        assert one.total_bytes == other.total_bytes == linked.total_bytes
        assert one.storage_id == linked.storage_id != other.storage_id


def test_a_file_system_that_libvirt_mounts_holds_disks(qemu: QemuFixture, outside: Path) -> None:
    with formatted(outside, 256) as device:
        folder = outside / "mounted"
        folder.mkdir()
        xml = pool_element(f"{qemu.prefix}fs", folder)
        xml.set("type", "fs")
        ET.SubElement(ET.SubElement(xml, "source"), "device", path=device)
        with pool(qemu, xml) as pool_id:
            assert (pools_of(qemu)[pool_id].type, pools_of(qemu)[pool_id].is_available) == ("fs", True)
            spec = small_guest(f"{qemu.prefix}fs", new_marker(INSTALLATION), [pool_id])
            guest = qemu.driver.compose(spec)
            assert [(disk.pool_id, disk.size_bytes) for disk in guest.disks] == [(pool_id, spec.disks[0].size_bytes)]
            assert (folder / spec.disks[0].volume).stat().st_size == spec.disks[0].size_bytes
            qemu.driver.decompose(spec.ref, ((pool_id, spec.disks[0].volume),))
            assert not (folder / spec.disks[0].volume).exists()


async def test_composes_in_two_pools_do_not_exceed_their_file_system(
    innkeeper: Deployment, lab_host: LabHost, tmp_path: Path
) -> None:
    """Disks are sparse: the host itself would make both."""
    folder = tmp_path / "second"
    folder.mkdir()
    host = await add_libvirt(innkeeper, lab_host)
    first, second = lab_host.pool.name(), f"{lab_host.prefix}second"
    made = lab_host.connection.storagePoolCreateXML(ET.tostring(pool_element(second, folder), encoding="unicode"))
    try:
        found = await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        pools = {pool["name"]: pool for pool in found["storage_pools"]}
        assert second in pools[first]["shares_space_with"]
        most = pools[second]["capacity"]["free"] * 6 // 10 // 10**9
        fields = {"cores": 1, "memory": 1024}
        composed = await innkeeper.compose(
            host["id"], hostname=f"{lab_host.prefix}one", storage=f"root:{most}(pool:{second})", **fields
        )
        with pytest.raises(InnkeeperError, match=f"needs a disk of {most}.0 GB, .* free in {first}"):
            await innkeeper.compose(
                host["id"], hostname=f"{lab_host.prefix}two", storage=f"root:{most}(pool:{first})", **fields
            )
        await innkeeper.delete(f"machines/{composed['system_id']}/")
    finally:
        made.destroy()
