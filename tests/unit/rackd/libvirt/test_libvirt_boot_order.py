"""The boot order in domain XML: by device, or by kind in `<os>`."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from common.boot import BootDevice, BootOrder
from rackd.drivers.libvirt.definitions.boot_order import (
    boots_from_devices,
    devices,
    first_disk,
    kinds,
    missing,
    put_first,
    put_kinds_first,
)
from rackd.drivers.libvirt.definitions.domain_config import domain_config

DEVICES = """
  <disk type='file' device='disk'>{vda}<target dev='vda'/></disk>
  <disk type='file' device='cdrom'>{sda}<target dev='sda'/></disk>
  <disk type='file'>{vdb}<target dev='vdb'/></disk>
  <interface type='user'>{nic}<mac address='52:54:00:00:00:01'/><target dev='nic'/></interface>
"""


def domain(*kinds: str, **orders: int) -> ET.Element:
    boots = {name: f"<boot order='{orders[name]}'/>" if name in orders else "" for name in ("vda", "sda", "vdb", "nic")}
    os = "".join(f"<boot dev='{kind}'/>" for kind in kinds)
    xml = f"<domain><os><type arch='x86_64'/>{os}</os><devices>{DEVICES.format(**boots)}</devices></domain>"
    return ET.fromstring(xml)  # noqa: S314


def order(of: ET.Element) -> list[str]:
    targets = [device.find("target") for device in devices(of)]
    return [target.get("dev", "") for target in targets if target is not None]


@pytest.mark.parametrize(
    ("given", "expected", "chosen"),
    [
        (domain(), ["vda", "vdb"], ["vdb", "vda"]),
        (domain("network", "hd"), ["nic", "vda", "vdb"], ["nic", "vdb", "vda"]),
        (domain("hd", "cdrom"), ["vda", "vdb", "sda"], ["vdb", "vda", "sda"]),
        (domain("network", "unknown"), ["nic"], ["nic", "vdb"]),
        (domain(nic=1, vda=2, vdb=3), ["nic", "vda", "vdb"], ["nic", "vdb", "vda"]),
        (domain(vda=5, nic=7), ["vda", "nic"], ["vdb", "vda", "nic"]),
        (domain(sda=1, vda=2, nic=3, vdb=4), ["sda", "vda", "nic", "vdb"], ["sda", "vdb", "vda", "nic"]),
    ],
)
def test_a_chosen_disk_takes_the_place_of_the_first_one(
    given: ET.Element, expected: list[str], chosen: list[str]
) -> None:
    assert order(given) == expected
    vdb = given.findall("devices/disk")[2]
    assert put_first(given, vdb)
    assert (order(given), first_disk(given)) == (chosen, "vdb")
    assert given.find("os/boot") is None, "libvirt allows one way at a time"
    assert not put_first(given, vdb)


def test_the_first_disk_of_a_running_domain_is_unknown() -> None:
    """The next start can use another definition than the live one."""
    found = domain(vdb=1, vda=2)
    assert domain_config(found).boot_device == "vdb"
    found.set("id", "7")
    assert domain_config(found).boot_device is None
    assert domain_config(found).boot_order is None


def test_a_domain_that_boots_from_no_disk_has_none() -> None:
    assert first_disk(domain("network")) is None


DISK, NETWORK = BootDevice.DISK, BootDevice.NETWORK


@pytest.mark.parametrize(
    ("given", "named", "expected"),
    [
        (domain(), (NETWORK,), ["nic", "vda", "vdb"]),
        (domain("network", "hd"), (DISK,), ["vda", "vdb", "nic"]),
        (domain("hd", "cdrom"), (NETWORK, DISK), ["nic", "vda", "vdb", "sda"]),
        (domain("network"), (DISK,), ["vda", "vdb", "nic"]),
        (domain(sda=1, vdb=2, nic=3, vda=4), (NETWORK,), ["nic", "vdb", "vda", "sda"]),
    ],
)
def test_the_named_kinds_get_the_first_places(given: ET.Element, named: BootOrder, expected: list[str]) -> None:
    assert put_kinds_first(given, named)
    assert order(given) == expected
    assert kinds(given)[: len(named)] == named
    assert given.find("os/boot") is None
    assert not put_kinds_first(given, named)


def test_a_domain_that_lacks_a_kind_or_boots_a_kernel_of_its_host_is_known() -> None:
    assert missing(domain(), (NETWORK, DISK)) == []
    bare = ET.fromstring("<domain><os><kernel>/boot/k</kernel></os><devices/></domain>")  # noqa: S314
    assert missing(bare, (NETWORK, DISK)) == [NETWORK, DISK]
    assert boots_from_devices(domain())
    assert not boots_from_devices(bare)
