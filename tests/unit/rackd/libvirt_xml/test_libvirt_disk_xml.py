"""Disks in the definitions of domains: free device names, boot orders without a disk, and layers of snapshots."""

from __future__ import annotations

import pytest

from common.disks.device_names import block_device_name
from common.errors import InvalidRequest
from rackd.drivers.libvirt.definitions.boot_order import first_disk
from rackd.drivers.libvirt.definitions.disk_xml import (
    MAXIMUM_DISKS,
    check_serial,
    free_target,
    overlay_on,
    path_of,
    remove_disk,
)
from rackd.drivers.libvirt.xml import Element, attribute, parse


def domain(*devices: str, boot: str = "") -> Element:
    return parse(f"<domain><os>{boot}</os><devices>{''.join(devices)}</devices></domain>", "a guest")


def disk(target: str, order: int | None = None, *, more: str = "", device: str = "disk") -> str:
    boot = "" if order is None else f"<boot order='{order}'/>"
    return f"<disk device='{device}'><source file='/pool/{target}'/>{more}<target dev='{target}'/>{boot}</disk>"


def nic(order: int) -> str:
    return f"<interface><boot order='{order}'/></interface>"


def remove(tree: Element, target: str) -> None:
    remove_disk(tree, next(one for one in tree.iterfind("devices/disk") if attribute(one, "target", "dev") == target))


def orders(tree: Element) -> list[tuple[str, str]]:
    return [(one.tag, attribute(one, "boot", "order")) for one in tree.iterfind("devices/*")]


def test_a_new_disk_gets_the_first_free_device_name() -> None:
    live, definition = domain(disk("vda"), disk("vdc")), domain(disk("vda"), disk("vdb", device="cdrom"))
    assert free_target([live]) == "vdb"
    assert free_target([live, definition]) == "vdd"
    assert free_target([domain()]) == "vda"
    assert free_target([domain(*(disk(block_device_name("vd", number)) for number in range(MAXIMUM_DISKS)))]) is None


@pytest.mark.parametrize(
    ("removed", "left"),
    [("vda", [("interface", "1"), ("disk", "2")]), ("vdb", [("disk", "1"), ("interface", "2")])],
)
def test_the_boot_order_has_no_gap_without_a_disk(removed: str, left: list[tuple[str, str]]) -> None:
    tree = domain(disk("vda", 1), nic(2), disk("vdb", 3))
    remove(tree, removed)
    assert orders(tree) == left


def test_a_domain_without_boot_orders_boots_from_the_next_disk() -> None:
    tree = domain(disk("vda"), disk("vdb"), boot="<boot dev='network'/><boot dev='hd'/>")
    remove(tree, "vda")
    assert first_disk(tree) == "vdb"
    assert [boot.get("dev") for boot in tree.iterfind("os/boot")] == ["network", "hd"]


def test_the_last_disk_with_a_boot_order_can_go() -> None:
    tree = domain(disk("vda", 1), disk("vdb"))
    remove(tree, "vda")
    assert (orders(tree), first_disk(tree)) == ([("disk", "")], "vdb")


def test_a_layer_on_top_of_a_volume_is_found_at_any_depth() -> None:
    base = "<backingStore><source file='/pool/base'/></backingStore>"
    chain = f"<backingStore><source file='/pool/middle'/>{base}</backingStore>"
    tree = domain(disk("vda"), disk("vdb", more=chain))
    assert [overlay_on(tree, name) for name in ("base", "middle")] == ["/pool/vdb"] * 2
    assert [overlay_on(tree, name) for name in ("vda", "vdb", "other")] == [None] * 3
    assert [path_of(one) for one in tree.iterfind("devices/disk")] == ["/pool/vda", "/pool/vdb"]


@pytest.mark.parametrize("serial", ["", "a" * 21, "a b", "a'", "é", "a\n"])
def test_serials_that_qemu_would_change_are_refused(serial: str) -> None:
    check_serial("a-B_9.+")
    with pytest.raises(InvalidRequest, match="serial"):
        check_serial(serial)
