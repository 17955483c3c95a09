"""Which device LXD boots first, and the priorities that make another disk the first one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.boot import BootDevice
from rackd.drivers.lxd.inventory.boot_order import (
    PRIORITY,
    BootedOnce,
    Device,
    first_disk,
    order_of,
    priority_of,
    with_first_disk,
    with_order,
    with_root_first,
)

ROOT = {"type": "disk", "path": "/", "pool": "default"}
DISKS = ("root", "disk1", "disk2")


def data(name: str) -> Device:
    return {"type": "disk", "path": "", "pool": "default", "source": name}


def devices(**priorities: str) -> dict[str, Device]:
    """Two NICs, three disks and an ISO image, with these priorities."""
    found: dict[str, Device] = {
        "eth0": {"type": "nic", "network": "br"}, "eth1": {"type": "nic", "network": "br"}, "root": ROOT,
        "disk1": data("disk1"), "disk2": data("disk2"), "iso": {"type": "disk", "source": "/srv/a.iso"},
    }  # fmt: skip
    return {name: {**one, PRIORITY: priorities[name]} if name in priorities else one for name, one in found.items()}


COMPOSED = devices(eth0="2", root="1")
DEPLOYED = devices(eth0="2", root="3")


def order(of: Mapping[str, Device]) -> list[str]:
    """The devices with a priority, in the order of LXD."""
    ranked = sorted((name for name in of if priority_of(of[name])), key=lambda name: -priority_of(of[name]))
    assert len({priority_of(of[name]) for name in ranked}) == len(ranked), "no two have the same"
    return ranked


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (devices(), "root"),
        (COMPOSED, "root"),
        (DEPLOYED, "root"),
        (devices(disk2="2"), "disk2"),
        (devices(disk1="3", disk2="9", iso="10"), "disk2"),
        (devices(disk1="many"), "root"),
    ],
)
def test_the_disk_with_the_highest_priority_boots_first(given: dict[str, Device], expected: str) -> None:
    assert first_disk(given, DISKS) == expected


def test_a_chosen_disk_takes_the_place_of_the_first_one() -> None:
    before_nics = {**DEPLOYED, **with_first_disk(DEPLOYED, DISKS, "disk1")}
    assert order(before_nics)[:3] == ["disk1", "root", "eth0"]
    after_nics = {**COMPOSED, **with_first_disk(COMPOSED, DISKS, "disk2")}
    assert order(after_nics)[:3] == ["eth0", "disk2", "root"]
    assert order({**after_nics, **with_first_disk(after_nics, DISKS, "root")})[:3] == ["eth0", "root", "disk2"]


def test_the_present_boot_disk_changes_nothing() -> None:
    assert with_first_disk(DEPLOYED, DISKS, "root") == {}
    assert with_first_disk(devices(), ("root",), "root") == {}


@given(
    st.dictionaries(st.sampled_from(("eth0", "eth1", "iso", *DISKS)), st.integers(0, 9).map(str)),
    st.lists(st.sampled_from(DISKS), min_size=1, max_size=9),
)
def test_any_choices_leave_nics_and_images_in_their_order(priorities: dict[str, str], chosen: list[str]) -> None:
    now = devices(**priorities)
    ranked = [name for name in ("eth0", "eth1", "iso") if priority_of(now[name])]
    for disk in chosen:
        before = {(one, other) for one in ranked for other in ranked if priority_of(now[one]) > priority_of(now[other])}
        now = {**now, **with_first_disk(now, DISKS, disk)}
        assert first_disk(now, DISKS) == disk
        assert all(priority_of(now[one]) > priority_of(now[other]) for one, other in before)
        assert max(priority_of(one) for one in now.values()) <= max(9, len(now)), "priorities do not grow"
        assert with_first_disk(now, DISKS, disk) == {}


def test_a_new_root_disk_boots_before_every_other_volume() -> None:
    chosen = {**DEPLOYED, **with_first_disk(DEPLOYED, DISKS, "disk1")}
    deployed, emptied = (with_root_first(chosen, before_nics=before_nics) for before_nics in (True, False))
    assert (order(deployed)[0], first_disk(deployed, DISKS)) == ("root", "root")
    assert (order(emptied)[0], first_disk(emptied, DISKS)) == ("eth0", "root")
    assert with_root_first(COMPOSED, before_nics=True) == DEPLOYED
    assert with_root_first(DEPLOYED, before_nics=False) == COMPOSED


def test_a_guest_of_an_earlier_release_boots_in_the_same_order() -> None:
    """Its boot NIC has 1, and its root disk as little as its other volumes."""
    composed, deployed = devices(eth0="1", root="0"), devices(eth0="1", root="2")
    assert order(with_root_first(composed, before_nics=True))[:2] == ["root", "eth0"]
    assert with_root_first(composed, before_nics=False) == COMPOSED
    assert with_root_first(deployed, before_nics=False) == COMPOSED


DISK, NETWORK = BootDevice.DISK, BootDevice.NETWORK
PRIORITIES = st.dictionaries(st.sampled_from(["eth0", "eth1", "root", "disk1", "disk2"]), st.sampled_from("0123"))


@given(PRIORITIES, st.permutations([DISK, NETWORK]), st.integers(1, 2))
def test_the_named_kinds_come_first_and_each_kind_keeps_its_order(
    priorities: dict[str, str], wanted: list[BootDevice], count: int
) -> None:
    before = devices(**priorities)
    named = tuple(wanted[:count])
    changed = with_order(before, DISKS, named)
    after = {**before, **changed}
    assert order_of(after, DISKS)[:count] == named
    assert set(order_of(after, DISKS)) == {DISK, NETWORK}
    assert first_disk(after, DISKS) == first_disk(before, DISKS)
    assert with_order(after, DISKS, named) == {}


@given(PRIORITIES, st.sampled_from([DISK, NETWORK]))
def test_a_start_in_another_order_is_restored_exactly(priorities: dict[str, str], first: BootDevice) -> None:
    before = devices(**priorities)
    changed = with_order(before, DISKS, (first,))
    once = BootedOnce.parse(BootedOnce.of("op-1", before, changed).text())
    assert once is not None
    assert once.key == "op-1"
    after = {**before, **changed}
    assert {**after, **once.restored(after)} == before
    assert once.restored(before) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": "1"}', '{"priorities": []}'])
def test_a_damaged_record_of_a_start_says_nothing(text: str) -> None:
    assert BootedOnce.parse(text) is None


def test_only_nics_that_lxd_can_boot_from_count() -> None:
    routed: dict[str, Device] = {"root": ROOT, "eth0": {"type": "nic", "nictype": "routed"}}
    assert order_of(routed, DISKS) == (DISK,)
