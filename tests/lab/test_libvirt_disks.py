"""Disks of guests on a real QEMU: what it has, what is in the volumes, and guests without a system, which keep them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import Unsupported, WrongState
from common.guest_spec import DiskSpec, GuestSpec
from common.values import DiskSize, GrownDisk, PowerAction, PowerState
from common.volume_names import volume_name
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk
from rackd.drivers.libvirt.definitions.domain_xml import (
    SPARE_PORTS,
    DomainCapabilities,
    PreparedResources,
    domain_xml,
    volume_xml,
)
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from tests.contract.guest_samples import volumes_of
from tests.contract.libvirt_fixtures import QemuFixture
from tests.disk_images import overlay_head
from tests.lab.libvirt_specs import DISK_BYTES, small_spec
from tests.lab.needs import require, why_no_logical_volumes, why_no_volume_groups
from tests.lab.volume_group import VolumeGroup, volume_group

GROWN_BYTES = 3 * DISK_BYTES
TRAITS = HostTraits(kernel_architecture="x86_64", architecture="amd64", domain_type="qemu", privileged=True)
OFFER = DomainCapabilities(vnc=True, video="vga", random=True)


@pytest.fixture
def group(qemu: QemuFixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeGroup]:
    require(why_no_volume_groups())
    require(why_no_logical_volumes())
    with volume_group(qemu.administrator, tmp_path_factory.mktemp("lvm")) as made:
        yield made


def composed(qemu: QemuFixture, name: str, *, disks: int = 1, on: bool = False) -> GuestSpec:
    spec = small_spec(qemu, name)
    more = tuple(disk_of(spec, index) for index in range(1, disks))
    spec = evolve(spec, disks=(*spec.disks, *more))
    qemu.driver.compose(spec)
    if on:
        switch(qemu, spec, PowerAction.ON)
    return spec


def switch(qemu: QemuFixture, spec: GuestSpec, action: PowerAction, *sizes: DiskSize) -> None:
    qemu.driver.power(spec.ref, action, grace_s=0.1, disk_sizes=sizes)


def disk_of(spec: GuestSpec, index: int = 1, pool_id: str | None = None) -> DiskSpec:
    return DiskSpec(
        volume=volume_name(spec.marker, index),
        pool_id=pool_id or spec.disks[0].pool_id,
        size_bytes=DISK_BYTES,
        serial=f"serial-{index}",
    )


def attach(qemu: QemuFixture, spec: GuestSpec, disk: DiskSpec, *, create: bool = True) -> PowerState:
    return qemu.driver.attach_disk(spec.ref, disk, 1, create=create)


def detach(qemu: QemuFixture, spec: GuestSpec, disk: DiskSpec) -> PowerState:
    return qemu.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)


def size(disk: DiskSpec, size_bytes: int = GROWN_BYTES) -> DiskSize:
    return DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=size_bytes)


def xml_of(qemu: QemuFixture, spec: GuestSpec) -> tuple[str, str]:
    """The XML of now, and that of the next start."""
    domain = qemu.administrator.lookupByName(spec.name)
    return domain.XMLDesc(), domain.XMLDesc(2)


def block_size(qemu: QemuFixture, spec: GuestSpec, device: str) -> int:
    return int(qemu.administrator.lookupByName(spec.name).blockInfo(device)[0])


def filled(file: Path) -> str:
    """Writes random content to the whole disk. Returns its hash."""
    file.write_bytes(os.urandom(DISK_BYTES))
    return digest(file)


def digest(file: Path) -> str:
    """Of the part that the disk had from the beginning."""
    return hashlib.sha256(file.read_bytes()[:DISK_BYTES]).hexdigest()


def test_a_running_guest_gets_a_disk_for_good(qemu: QemuFixture) -> None:
    spec = composed(qemu, "live", on=True)
    disk = disk_of(spec)
    assert attach(qemu, spec, disk) is PowerState.ON
    assert block_size(qemu, spec, "vdb") == DISK_BYTES
    for xml in xml_of(qemu, spec):
        assert (xml.count(disk.volume), xml.count(disk.serial)) == (1, 1)
    switch(qemu, spec, PowerAction.CYCLE)
    assert block_size(qemu, spec, "vdb") == DISK_BYTES


def test_a_disk_grows_while_its_guest_runs(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = composed(qemu, "growing", disks=2, on=True)
    before = digest(tmp_path / spec.disks[1].volume)
    for disk, device in zip(spec.disks, ("vda", "vdb"), strict=True):
        grown = GrownDisk(size_bytes=GROWN_BYTES, power=PowerState.ON)
        assert qemu.driver.grow_disk(spec.ref, size(disk)) == grown
        assert block_size(qemu, spec, device) == GROWN_BYTES
        assert (tmp_path / disk.volume).stat().st_size == GROWN_BYTES
        assert qemu.driver.grow_disk(spec.ref, size(disk, DISK_BYTES)) == grown
    assert digest(tmp_path / spec.disks[1].volume) == before
    switch(qemu, spec, PowerAction.FORCE_OFF)
    assert qemu.driver.grow_disk(spec.ref, size(spec.disks[1])).size_bytes == GROWN_BYTES


def test_a_disk_grows_while_its_guest_is_off_and_keeps_its_content(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = composed(qemu, "resting", disks=2)
    file = tmp_path / spec.disks[1].volume
    written = filled(file)
    assert qemu.driver.grow_disk(spec.ref, size(spec.disks[1])).size_bytes == GROWN_BYTES
    assert (file.stat().st_size, digest(file)) == (GROWN_BYTES, written)
    switch(qemu, spec, PowerAction.ON)
    assert block_size(qemu, spec, "vdb") == GROWN_BYTES


def test_a_guest_without_a_system_keeps_its_disk(qemu: QemuFixture) -> None:
    spec = composed(qemu, "keeping", disks=2, on=True)
    before = xml_of(qemu, spec)
    for _ in ("first", "again"):
        with pytest.raises(WrongState, match="Unmount the disk"):
            detach(qemu, spec, spec.disks[1])
        assert xml_of(qemu, spec) == before
    assert block_size(qemu, spec, "vdb") == DISK_BYTES
    switch(qemu, spec, PowerAction.FORCE_OFF)
    assert detach(qemu, spec, spec.disks[1]) is PowerState.OFF
    switch(qemu, spec, PowerAction.ON)
    assert all(spec.disks[1].volume not in xml for xml in xml_of(qemu, spec))


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_disk_has_the_same_bytes_in_another_guest(qemu: QemuFixture, tmp_path: Path, *, on: bool) -> None:
    first, second = composed(qemu, "first", disks=2), composed(qemu, "second", on=on)
    moved = first.disks[1]
    file = tmp_path / moved.volume
    written = filled(file)
    detach(qemu, first, moved)
    attach(qemu, second, evolve(moved, serial="serial-moved"), create=False)
    assert digest(file) == written
    switch(qemu, second, PowerAction.CYCLE)
    assert block_size(qemu, second, "vdb") == DISK_BYTES
    listed = {guest.name: guest for guest in qemu.driver.discover().guests}
    assert listed[second.name].marker == second.marker
    assert listed[first.name].marker == first.marker
    qemu.driver.decompose(second.ref, (*volumes_of(second), (moved.pool_id, moved.volume)))
    assert digest(file) == written
    attach(qemu, first, moved, create=False)
    assert digest(file) == written


def test_a_disk_in_a_volume_group_is_attached_and_does_not_grow(qemu: QemuFixture, group: VolumeGroup) -> None:
    spec = composed(qemu, "logical", on=True)
    disk = disk_of(spec, pool_id=group.pool_id)
    for state in (PowerState.ON, PowerState.OFF):
        assert attach(qemu, spec, disk) is state
        with pytest.raises(Unsupported, match="has the type logical"):
            qemu.driver.grow_disk(spec.ref, size(disk))
        switch(qemu, spec, PowerAction.FORCE_OFF)
        detach(qemu, spec, disk)
        assert disk.volume in group.logical_volumes()


def test_a_forged_image_grows_no_file_of_others(qemu: QemuFixture, tmp_path: Path) -> None:
    attacker, victim = composed(qemu, "attacker", disks=2), composed(qemu, "victim")
    forged = tmp_path / attacker.disks[1].volume
    with forged.open("r+b") as file:
        file.write(overlay_head(tmp_path / victim.disks[0].volume))
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    with pytest.raises(Unsupported, match="begins like an image"):
        qemu.driver.grow_disk(attacker.ref, size(attacker.disks[1]))
    assert forged.stat().st_size == DISK_BYTES
    switch(qemu, attacker, PowerAction.ON)
    assert qemu.driver.grow_disk(attacker.ref, size(attacker.disks[1])).size_bytes == GROWN_BYTES
    assert (tmp_path / victim.disks[0].volume).stat().st_size == DISK_BYTES


def test_a_forged_image_is_attached_as_it_is(qemu: QemuFixture, tmp_path: Path) -> None:
    attacker, victim = composed(qemu, "attacker", disks=2), composed(qemu, "victim")
    detach(qemu, attacker, attacker.disks[1])
    with (tmp_path / attacker.disks[1].volume).open("r+b") as file:
        file.write(overlay_head(tmp_path / victim.disks[0].volume))
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    switch(qemu, attacker, PowerAction.ON)
    attach(qemu, attacker, attacker.disks[1], create=False)
    assert all("qcow2" not in xml and victim.disks[0].volume not in xml for xml in xml_of(qemu, attacker))


def test_a_guest_on_pcie_has_spare_ports_for_disks(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "pcie")
    on_q35(qemu, spec, evolve(OFFER, has_pcie_ports=True))
    switch(qemu, spec, PowerAction.ON)
    for index in range(1, SPARE_PORTS + 1):
        assert attach(qemu, spec, disk_of(spec, index)) is PowerState.ON
    assert block_size(qemu, spec, "vdi") == DISK_BYTES
    switch(qemu, spec, PowerAction.CYCLE)
    assert block_size(qemu, spec, "vdi") == DISK_BYTES


def test_a_guest_without_a_free_port_gets_a_disk_while_off(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "full")
    on_q35(qemu, spec, OFFER)
    switch(qemu, spec, PowerAction.ON)
    attached = 0
    while (refused := refusal(qemu, spec, disk_of(spec, attached + 1))) is None:
        attached += 1
    assert attached < SPARE_PORTS
    assert "No more available PCI slots" in refused
    assert f"It can be attached while {spec.name} is off" in refused
    switch(qemu, spec, PowerAction.FORCE_OFF)
    assert attach(qemu, spec, disk_of(spec, attached + 1)) is PowerState.OFF
    switch(qemu, spec, PowerAction.ON)
    assert block_size(qemu, spec, f"vd{chr(ord('b') + attached)}") == DISK_BYTES


def refusal(qemu: QemuFixture, spec: GuestSpec, disk: DiskSpec) -> str | None:
    """Attaches the disk. Returns why not, and that nothing has changed then."""
    before = xml_of(qemu, spec), qemu.volumes()
    try:
        attach(qemu, spec, disk)
    except WrongState as error:
        assert (xml_of(qemu, spec), qemu.volumes()) == before
        return str(error)
    return None


def on_q35(qemu: QemuFixture, spec: GuestSpec, offer: DomainCapabilities) -> None:
    """Defines the guest as on a host whose machine type is q35."""
    pool = qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id)
    disks = tuple(
        PreparedDisk(
            spec=disk, path=pool.createXML(volume_xml(disk.volume, disk.size_bytes, "dir")).path(), block=False
        )
        for disk in spec.disks
    )
    tree = ET.fromstring(domain_xml(spec, PreparedResources(disks=disks), TRAITS, offer))  # noqa: S314  ours
    kind = tree.find("os/type")
    assert kind is not None
    kind.set("machine", "q35")
    qemu.administrator.defineXML(ET.tostring(tree, encoding="unicode"))
