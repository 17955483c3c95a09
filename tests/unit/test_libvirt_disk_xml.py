"""A disk in domain XML: which name and place it gets, and what is left without it."""

from __future__ import annotations

import pytest

from common.guest_spec import DiskSpec
from rackd.drivers.libvirt.definitions import boot_order
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk, further_disk, remove_disk
from rackd.drivers.libvirt.xml import Element, attribute, parse

DISK = PreparedDisk(
    spec=DiskSpec(volume="new", pool_id="p", size_bytes=512, serial="serial-new"), path="/pool/new", block=False
)


def domain(devices: str, os: str = "") -> Element:
    return parse(f"<domain><os>{os}</os><devices>{devices}</devices></domain>", "a guest")


def disk(device: str, order: int | None = None, kind: str = "disk") -> str:
    boot = "" if order is None else f"<boot order='{order}'/>"
    return f"<disk type='file' device='{kind}'><source file='/p/{device}'/><target dev='{device}'/>{boot}</disk>"


def nic(order: int | None = None) -> str:
    return "<interface type='user'>" + ("" if order is None else f"<boot order='{order}'/>") + "</interface>"


def booting(tree: Element) -> list[str]:
    return [attribute(one, "target", "dev") or one.tag for one in boot_order.devices(tree)]


def removed(tree: Element, device: str) -> Element:
    (found,) = [one for one in tree.iterfind("devices/disk") if attribute(one, "target", "dev") == device]
    remove_disk(tree, found)
    return tree


def test_a_disk_gets_the_first_name_that_is_free_in_each_definition() -> None:
    live, persistent = domain(disk("vda") + disk("vdc")), domain(disk("vda") + disk("vdb", kind="cdrom"))
    assert attribute(further_disk(DISK, [live]), "target", "dev") == "vdb"
    assert attribute(further_disk(DISK, [live, persistent]), "target", "dev") == "vdd"
    full = domain("".join(disk(f"vd{chr(97 + number)}") for number in range(26)))
    assert attribute(further_disk(DISK, [full]), "target", "dev") == "vdaa"


def test_a_disk_boots_after_every_other_device() -> None:
    live, persistent = domain(nic(1) + disk("vda", 2)), domain(nic(1) + disk("vda", 2) + disk("vdb", 5))
    assert attribute(further_disk(DISK, [live]), "boot", "order") == "3"
    assert attribute(further_disk(DISK, [live, persistent]), "boot", "order") == "6"


@pytest.mark.parametrize("definitions", [["os"], ["os", "ordered"], ["none"]])
def test_a_disk_has_no_order_beside_that_of_the_firmware(definitions: list[str]) -> None:
    known = {
        "os": domain(disk("vda"), "<boot dev='hd'/>"),
        "ordered": domain(disk("vda", 1)),
        "none": domain(""),
    }
    assert further_disk(DISK, [known[name] for name in definitions]).find("boot") is None


def test_a_disk_is_raw_and_has_its_serial() -> None:
    element = further_disk(DISK, [domain("")])
    assert (attribute(element, "driver", "type"), element.findtext("serial")) == ("raw", "serial-new")
    assert (element.get("type"), attribute(element, "source", "file")) == ("file", "/pool/new")


@pytest.mark.parametrize(
    ("devices", "lost", "left"),
    [
        (nic(1) + disk("vda", 2) + disk("vdb", 3), "vda", ["interface", "vdb"]),
        (nic(1) + disk("vda", 2) + disk("vdb"), "vda", ["interface", "vdb"]),
        (nic(3) + disk("vda", 2) + disk("vdb"), "vda", ["vdb", "interface"]),
        (disk("vda", 1) + disk("sda", kind="cdrom") + disk("vdb"), "vda", ["vdb"]),
        (disk("vda", 7) + disk("vdb"), "vdb", ["vda"]),
        (nic(1) + disk("vda", 2), "vda", ["interface"]),
    ],
)
def test_another_disk_boots_in_place_of_one_that_is_removed(devices: str, lost: str, left: list[str]) -> None:
    tree = removed(domain(devices), lost)
    assert booting(tree) == left
    orders = [boot.get("order") for boot in tree.iterfind("devices/*/boot")]
    assert len(set(orders)) == len(orders)


def test_the_order_of_the_firmware_stays_when_a_disk_is_removed() -> None:
    tree = removed(domain(disk("vda") + disk("vdb"), "<boot dev='hd'/><boot dev='network'/>"), "vda")
    assert [boot.get("dev") for boot in tree.iterfind("os/boot")] == ["hd", "network"]
    assert tree.find("devices/disk/boot") is None
