"""What a deployment changes in a domain's definition, and what it does not change."""

from __future__ import annotations

from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.disks.volume_names import seed_name, volume_name
from common.errors import WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.values import NicKind, OwnershipMarker
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk
from rackd.drivers.libvirt.definitions.domain_xml import (
    DomainCapabilities,
    PreparedResources,
    domain_xml,
)
from rackd.drivers.libvirt.definitions.firmware_xml import has_uefi, set_bios, set_uefi
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.definitions.metadata import has_firmware_variables, marker_in
from rackd.drivers.libvirt.definitions.seed_xml import PreparedSeed
from rackd.drivers.libvirt.deployment.redefinition import boot_from_disk, boot_from_nics, set_seed
from rackd.drivers.libvirt.xml import attribute

MARKER = OwnershipMarker(installation_id=UUID(int=10), machine_id=UUID(int=11))
TRAITS = HostTraits(kernel_architecture="x86_64", architecture="amd64", domain_type="qemu", privileged=True)
DISKS = tuple(
    DiskSpec(volume=volume_name(MARKER, index), pool_id="pool", size_bytes=10**9, serial=f"disk{index}")
    for index in range(2)
)
NICS = tuple(
    NicSpec(name=f"eth{index}", mac_address=f"52:54:00:00:00:0{index}", kind=NicKind.USER, boot=index == 1)
    for index in range(2)
)
SPEC = GuestSpec(name="web", marker=MARKER, architecture="amd64", cores=1, memory_mib=512, disks=DISKS, nics=NICS)
SEED = PreparedSeed(path=f"/pool/{seed_name(MARKER)}", block=False)


@pytest.fixture
def domain() -> ET.Element:
    disks = tuple(PreparedDisk(spec=disk, path=f"/pool/{disk.volume}", block=False) for disk in DISKS)
    return ET.fromstring(domain_xml(SPEC, PreparedResources(disks=disks), TRAITS, DomainCapabilities()))  # noqa: S314


def boot_order(domain: ET.Element) -> list[str]:
    """Serials of disks and MAC addresses of NICs."""
    bootable = [device for device in domain.findall("devices/*") if device.find("boot") is not None]
    bootable.sort(key=lambda device: int(attribute(device, "boot", "order")))
    assert [attribute(device, "boot", "order") for device in bootable] == [str(n + 1) for n in range(len(bootable))]
    return [device.findtext("serial") or attribute(device, "mac", "address") for device in bootable]


def text_of(domain: ET.Element) -> str:
    return ET.tostring(domain, encoding="unicode")


def test_a_deployed_guest_boots_from_its_root_disk(domain: ET.Element) -> None:
    before = text_of(domain)
    assert boot_order(domain) == [NICS[1].mac_address, "disk0", "disk1"]
    boot_from_disk(domain, DISKS[0].volume)
    assert boot_order(domain) == ["disk0", NICS[1].mac_address, "disk1"]
    boot_from_nics(domain, [nic.mac_address.upper() for nic in NICS if nic.boot], DISKS[0].volume)
    assert boot_order(domain) == [NICS[1].mac_address, "disk0", "disk1"]
    assert len(text_of(domain)) == len(before)


def test_devices_without_an_order_of_their_own_get_one(domain: ET.Element) -> None:
    """An administrator can replace the order of devices by `<boot dev=…>`; both together are invalid."""
    for device in domain.findall("devices/*"):
        for boot in device.findall("boot"):
            device.remove(boot)
    os = domain.find("os")
    assert os is not None
    ET.SubElement(os, "boot", dev="network")
    boot_from_disk(domain, DISKS[0].volume)
    assert boot_order(domain) == ["disk0", *(nic.mac_address for nic in NICS)]
    assert os.find("boot") is None


def test_a_guest_without_its_root_disk_is_not_deployed(domain: ET.Element) -> None:
    with pytest.raises(WrongState, match="has no disk"):
        boot_from_disk(domain, evolve(DISKS[0], volume="other").volume)


def test_uefi_is_never_one_that_requires_signed_systems(domain: ET.Element) -> None:
    assert not has_uefi(domain)
    for _ in range(2):
        set_uefi(domain)
        assert has_uefi(domain)
        assert [(one.get("name"), one.get("enabled")) for one in domain.iterfind("os/firmware/feature")] == [
            ("secure-boot", "no")
        ]
    assert attribute(domain, "os", "firmware") == "efi"


def test_an_administrators_firmware_stays(domain: ET.Element) -> None:
    os = domain.find("os")
    assert os is not None
    ET.SubElement(os, "loader", type="pflash").text = "/firmware.fd"
    before = text_of(domain)
    set_uefi(domain)
    assert text_of(domain) == before


def test_bios_records_that_a_file_of_variables_is_left(domain: ET.Element) -> None:
    before = text_of(domain)
    set_bios(domain)
    assert text_of(domain) == before
    set_uefi(domain)
    os = domain.find("os")
    assert os is not None
    ET.SubElement(os, "loader", type="pflash").text = "/firmware.fd"  # as newer versions of libvirt complete it
    ET.SubElement(os, "nvram").text = "/variables.fd"
    for _ in range(2):
        set_bios(domain)
        assert (has_uefi(domain), [child.tag for child in os]) == (False, ["type"])
        assert has_firmware_variables(domain)
        assert marker_in(domain) == MARKER


def test_the_seed_is_replaced_and_removed(domain: ET.Element) -> None:
    before = text_of(domain)
    for _ in range(2):
        set_seed(domain, MARKER, SEED)
        assert [attribute(drive, "source", "file") for drive in domain.iterfind("devices/disk[@device='cdrom']")] == [
            SEED.path
        ]
    set_seed(domain, MARKER, None)
    assert len(domain.findall("devices/disk")) == len(DISKS)
    set_seed(domain, OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2)), None)
    for controller in domain.findall("devices/controller[@type='scsi']"):
        domain.find("devices").remove(controller)  # type: ignore[union-attr]  # its parent
    assert text_of(domain) == before
