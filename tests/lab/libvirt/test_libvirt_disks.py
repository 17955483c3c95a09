"""Real QEMU gets and loses disks while it runs, and they grow; what it refuses changes nothing."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.disks.volume_names import volume_name
from common.errors import OutOfCapacity, Unsupported, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize, GrownDisk
from common.values import PowerAction, PowerState
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk
from rackd.drivers.libvirt.definitions.domain_xml import (
    SPARE_PORTS,
    DomainCapabilities,
    PreparedResources,
    domain_xml,
)
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.guests import live_devices
from tests.contract.support.boot_sector import returning_sector
from tests.contract.support.guest_samples import free_serial, volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.servers.needs import require, why_no_logical_volumes, why_no_volume_groups
from tests.lab.servers.volume_group import VolumeGroup, volume_group
from tests.lab.support.libvirt_specs import DISK_BYTES, small_spec
from tests.support.disk_images import overlay_head

GROWN_BYTES = 3 * DISK_BYTES


def composed(qemu: QemuFixture, name: str = "vm", *, on: bool = False) -> GuestSpec:
    spec = small_spec(qemu, name)
    qemu.driver.compose(spec)
    if on:
        qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    return spec


def disk_of(spec: GuestSpec, index: int = 1, *, pool_id: str = "", size_bytes: int = DISK_BYTES) -> DiskSpec:
    return DiskSpec(
        volume=volume_name(spec.marker, index),
        pool_id=pool_id or spec.disks[0].pool_id,
        size_bytes=size_bytes,
        serial=free_serial(spec.marker, index),
    )


def domain_of(qemu: QemuFixture, spec: GuestSpec) -> Any:
    return qemu.administrator.lookupByName(spec.name)


def definitions(qemu: QemuFixture, spec: GuestSpec) -> tuple[dict[str, str], ...]:
    """The device and the volume of each disk in the live and in the persistent XML."""
    found = []
    for flags in (0, 2):
        tree = ET.fromstring(domain_of(qemu, spec).XMLDesc(flags))  # noqa: S314  of the test
        disks = [(disk.find("target"), disk.find("source")) for disk in tree.iterfind("devices/disk")]
        found.append({
            target.get("dev", ""): Path(source.get("file", "")).name
            for target, source in disks
            if target is not None and source is not None
        })  # fmt: skip
    return tuple(found)


def file_of(folder: Path, disk: DiskSpec) -> Path:
    return folder / disk.volume


def size(disk: DiskSpec, size_bytes: int = GROWN_BYTES) -> DiskSize:
    return DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=size_bytes)


def test_a_running_guest_gets_a_disk_that_grows(qemu: QemuFixture) -> None:
    spec = composed(qemu, on=True)
    disk = disk_of(spec)
    assert qemu.driver.attach_disk(spec.ref, disk, 1, create=True) is PowerState.ON
    attached = {"vda": spec.disks[0].volume, "vdb": disk.volume}
    assert definitions(qemu, spec) == (attached, attached)
    for device, one in (("vdb", disk), ("vda", spec.disks[0])):
        grown = GrownDisk(size_bytes=GROWN_BYTES, power=PowerState.ON)
        assert qemu.driver.grow_disk(spec.ref, size(one)) == grown
        assert domain_of(qemu, spec).blockInfo(device)[0] == GROWN_BYTES
    (guest,) = qemu.driver.discover().guests
    assert [one.size_bytes for one in guest.disks] == [GROWN_BYTES] * 2
    qemu.driver.power(spec.ref, PowerAction.CYCLE, grace_s=0.1)
    assert domain_of(qemu, spec).blockInfo("vdb")[0] == GROWN_BYTES


def test_a_guest_that_keeps_a_disk_is_not_changed(qemu: QemuFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No system runs in it, so nobody answers."""
    monkeypatch.setattr(live_devices, "UNPLUG_S", 2.0)
    spec = composed(qemu, on=True)
    disk = disk_of(spec)
    qemu.driver.attach_disk(spec.ref, disk, 1, create=True)
    before = definitions(qemu, spec)
    for _ in range(2):
        with pytest.raises(WrongState, match=r"did not give back the disk .* Unmount it in the guest") as refused:
            qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
        assert disk.volume in str(refused.value)
        assert definitions(qemu, spec) == before
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
    assert definitions(qemu, spec) == ({"vda": spec.disks[0].volume},) * 2


def test_a_running_guest_gives_a_disk_back(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = composed(qemu)
    file_of(tmp_path, spec.disks[0]).write_bytes(returning_sector().ljust(DISK_BYTES, b"\0"))
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    disk = disk_of(spec)
    for _ in range(2):
        qemu.driver.attach_disk(spec.ref, disk, 1, create=True)
        assert definitions(qemu, spec) == ({"vda": spec.disks[0].volume, "vdb": disk.volume},) * 2
        assert qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume) is PowerState.ON
        assert definitions(qemu, spec) == ({"vda": spec.disks[0].volume},) * 2
    assert file_of(tmp_path, disk).exists()


def test_a_disk_brings_its_content_to_another_guest(qemu: QemuFixture, tmp_path: Path) -> None:
    first, second = composed(qemu, "first"), composed(qemu, "second", on=True)
    disk = disk_of(first)
    qemu.driver.attach_disk(first.ref, disk, 1, create=True)
    content = os.urandom(DISK_BYTES)
    file_of(tmp_path, disk).write_bytes(content)
    qemu.driver.detach_disk(first.ref, disk.pool_id, disk.volume)
    qemu.driver.attach_disk(second.ref, disk, 1, create=False)
    qemu.driver.grow_disk(second.ref, size(disk))
    qemu.driver.decompose(first.ref, volumes_of(first))
    qemu.driver.decompose(second.ref, volumes_of(second))
    assert qemu.volumes() == {(disk.pool_id, disk.volume)}
    found = file_of(tmp_path, disk).read_bytes()
    assert len(found) == GROWN_BYTES
    assert hashlib.sha256(found[:DISK_BYTES]).digest() == hashlib.sha256(content).digest()


def test_a_guest_without_a_free_slot_gets_the_disk_while_off(qemu: QemuFixture) -> None:
    spec = composed(qemu, on=True)
    attached = fill_slots(qemu, spec)
    assert attached > 8
    before, volumes = definitions(qemu, spec), qemu.volumes()
    with pytest.raises(WrongState, match=r"while it runs: .*PCI slots"):
        qemu.driver.attach_disk(spec.ref, disk_of(spec, attached + 1), attached + 1, create=True)
    assert (definitions(qemu, spec), qemu.volumes()) == (before, volumes)


def fill_slots(qemu: QemuFixture, spec: GuestSpec) -> int:
    """Returns how many disks the running guest gets."""
    for index in itertools.count(1):
        try:
            qemu.driver.attach_disk(spec.ref, disk_of(spec, index, size_bytes=4096), index, create=True)
        except WrongState:
            return index - 1
    raise AssertionError


def test_spare_pcie_ports_take_disks_while_a_guest_runs(qemu: QemuFixture, tmp_path: Path) -> None:
    """The definition for another architecture, whose machine has PCIe, on the machine of this one that has it too."""
    spec = composed(qemu)
    traits = HostTraits(kernel_architecture="aarch64", architecture="arm64", domain_type="qemu", privileged=True)
    disk = PreparedDisk(spec=spec.disks[0], path=str(file_of(tmp_path, spec.disks[0])), block=False)
    offer = DomainCapabilities(vnc=True, video="virtio", random=True)
    xml = domain_xml(evolve(spec, architecture="arm64"), PreparedResources(disks=(disk,)), traits, offer)
    qemu.administrator.defineXML(xml.replace("'", '"').replace('"aarch64"', '"x86_64"').replace('"virt"', '"q35"'))
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    attached = fill_slots(qemu, spec)
    assert SPARE_PORTS <= attached <= 2 * SPARE_PORTS
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    qemu.driver.attach_disk(spec.ref, disk_of(spec, attached + 1), attached + 1, create=True)
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    assert len(definitions(qemu, spec)[0]) == attached + 2


def test_a_forged_image_on_a_raw_disk_is_not_resized(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = composed(qemu)
    file = file_of(tmp_path, spec.disks[0])
    with file.open("r+b") as disk:
        disk.write(overlay_head("", size_bytes=2**40))
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    with pytest.raises(Unsupported, match="image of the format qcow2"):
        qemu.driver.grow_disk(spec.ref, size(spec.disks[0]))
    assert file.stat().st_size == DISK_BYTES
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1, disk_sizes=(size(spec.disks[0]),)) is PowerState.ON
    assert qemu.driver.grow_disk(spec.ref, size(spec.disks[0])).size_bytes == GROWN_BYTES
    assert file.stat().st_size == GROWN_BYTES


def test_a_forged_image_is_attached_as_the_raw_disk_that_it_is(qemu: QemuFixture, tmp_path: Path) -> None:
    first, second = composed(qemu, "first"), composed(qemu, "second", on=True)
    disk = disk_of(first)
    qemu.driver.attach_disk(first.ref, disk, 1, create=True)
    with file_of(tmp_path, disk).open("r+b") as file:
        file.write(overlay_head(file_of(tmp_path, first.disks[0]), size_bytes=2**40))
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    qemu.driver.detach_disk(first.ref, disk.pool_id, disk.volume)
    qemu.driver.attach_disk(second.ref, disk, 1, create=False)
    tree = ET.fromstring(domain_of(qemu, second).XMLDesc())  # noqa: S314  of the test
    assert [driver.get("type") for driver in tree.iterfind("devices/disk/driver")] == ["raw", "raw"]
    assert domain_of(qemu, second).blockInfo("vdb")[0] == DISK_BYTES


def test_a_volume_that_libvirt_has_not_seen_is_attached(qemu: QemuFixture, tmp_path: Path) -> None:
    """Such as one that an administrator has copied to the pool."""
    spec = composed(qemu)
    disk = disk_of(spec)
    file_of(tmp_path, disk).write_bytes(bytes(DISK_BYTES))
    qemu.driver.attach_disk(spec.ref, disk, 1, create=False)
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    assert domain_of(qemu, spec).blockInfo("vdb")[0] == DISK_BYTES


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_disk_with_a_snapshot_stays_as_it_is(qemu: QemuFixture, tmp_path: Path, *, on: bool) -> None:
    spec = composed(qemu, on=True)
    disk = disk_of(spec)
    qemu.driver.attach_disk(spec.ref, disk, 1, create=True)
    overlay = tmp_path / "overlay.qcow2"
    snapshot = (
        "<domainsnapshot><name>before</name><disks><disk name='vda' snapshot='no'/>"
        f"<disk name='vdb'><source file='{overlay}'/></disk></disks></domainsnapshot>"
    )
    domain_of(qemu, spec).snapshotCreateXML(snapshot, 16)  # of disks only
    if not on:
        qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    before = definitions(qemu, spec)
    with pytest.raises(WrongState, match=r"overlay\.qcow2"):
        qemu.driver.grow_disk(spec.ref, size(disk))
    with pytest.raises(WrongState, match=r"overlay\.qcow2"):
        qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
    other = composed(qemu, "other")
    for one in (spec, other):
        with pytest.raises(WrongState, match=f"is used by {spec.name}"):
            qemu.driver.attach_disk(one.ref, disk, 1, create=False)
    assert definitions(qemu, spec) == before
    assert file_of(tmp_path, disk).stat().st_size == DISK_BYTES
    domain_of(qemu, spec).snapshotLookupByName("before").delete(2)  # its metadata


@pytest.fixture
def group(qemu: QemuFixture, tmp_path: Path) -> Iterator[VolumeGroup]:
    require(why_no_volume_groups())
    require(why_no_logical_volumes())
    folder = tmp_path.parent / f"{tmp_path.name}-group"  # the fixture's storage pool is the whole test folder
    folder.mkdir()
    with volume_group(qemu.administrator, folder) as created:
        yield created


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_logical_volume_is_attached_and_does_not_grow(qemu: QemuFixture, group: VolumeGroup, *, on: bool) -> None:
    spec = composed(qemu, on=on)
    disk = disk_of(spec, pool_id=group.pool_id)
    qemu.driver.attach_disk(spec.ref, disk, 1, create=True)
    assert group.logical_volumes() == {disk.volume}
    with pytest.raises(Unsupported, match="type logical"):
        qemu.driver.grow_disk(spec.ref, size(disk))
    with pytest.raises(OutOfCapacity, match=group.name):
        qemu.driver.attach_disk(
            spec.ref, evolve(disk_of(spec, 2), pool_id=group.pool_id, size_bytes=2**40), 2, create=True
        )
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1, disk_sizes=(size(disk),)) is PowerState.ON
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
    assert group.logical_volumes() == {disk.volume}
