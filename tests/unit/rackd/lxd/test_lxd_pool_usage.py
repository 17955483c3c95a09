"""Storage that several pools or guests of a server share counts once, and the states of VMs take space, too."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.values import Guest, GuestDisk, StoragePool
from rackd.drivers.lxd.inventory import facts
from rackd.drivers.lxd.inventory.pool_usage import storage_ids
from tests.unit.rackd.lxd.test_lxd_facts import ANSWERS, GIB, guest
from tests.unit.rackd.lxd.test_lxd_guests import instance

TOTAL = 270 * GIB
TWO_FOLDERS = evolve(
    ANSWERS,
    pools=[{"name": name, "driver": "dir", "config": {"source": f"/srv/{name}"}} for name in ("first", "second")],
    pool_space={name: {"space": {"total": TOTAL, "used": 33 * GIB}} for name in ("first", "second")},
)


def pools_of(answers: facts.ServerResponses, *guests: Guest) -> dict[str, StoragePool]:
    return {one.name: one for one in facts.facts_of(answers, guests).storage_pools}


def saved(**changes: Any) -> dict[str, Any]:
    """An instance of the guest `vm1` of 512 MiB, in the pool `first`."""
    root = {"type": "disk", "path": "/", "pool": "first", "size": "8GiB", **changes.pop("root", {})}
    return instance(config={"volatile.uuid": "vm1"}, devices={"root": root}, **changes)


def test_folders_on_one_file_system_share_its_space() -> None:
    pools = pools_of(TWO_FOLDERS, guest("a", 10, pool="first"), guest("b", 20, pool="second"))
    assert pools["first"].storage_id == pools["second"].storage_id != ""
    assert [pool.used_elsewhere_bytes for pool in pools.values()] == [3 * GIB, 3 * GIB]  # of 33, guests have 30


def test_folders_of_other_sizes_are_on_other_file_systems() -> None:
    space = {**TWO_FOLDERS.pool_space, "second": {"space": {"total": TOTAL + 4096, "used": GIB}}}
    pools = pools_of(evolve(TWO_FOLDERS, pool_space=space), guest("a", 10, pool="first"))
    assert pools["first"].storage_id != pools["second"].storage_id
    assert [pool.used_elsewhere_bytes for pool in pools.values()] == [23 * GIB, GIB]


@pytest.mark.parametrize(
    ("driver", "first", "second", "shared"),
    [
        ("zfs", {"zfs.pool_name": "tank/a"}, {"zfs.pool_name": "tank/b"}, True),
        ("zfs", {"zfs.pool_name": "tank"}, {"zfs.pool_name": "other"}, False),
        ("lvm", {"lvm.vg_name": "vg"}, {"lvm.vg_name": "vg", "lvm.use_thinpool": "No"}, False),
        ("lvm", {"lvm.vg_name": "vg", "lvm.use_thinpool": "0"}, {"lvm.vg_name": "vg", "lvm.use_thinpool": "off"}, True),
        ("ceph", {"ceph.osd.pool_name": "a"}, {"ceph.osd.pool_name": "b"}, True),
        ("btrfs", {"source": "/disks/a.img"}, {"source": "/disks/b.img"}, False),
        ("btrfs", {"source": "/srv/a"}, {"source": "/srv/b"}, True),
    ],
)
def test_pools_share_what_their_driver_says(
    driver: str, first: dict[str, str], second: dict[str, str], shared: bool
) -> None:
    pools = [{"name": name, "driver": driver, "config": one} for name, one in (("a", first), ("b", second))]
    ids = storage_ids(pools, {"a": GIB, "b": GIB})
    assert (ids["a"] == ids["b"]) is shared


def test_a_volume_of_several_guests_counts_once() -> None:
    shared = GuestDisk(device="data", size_bytes=20 * GIB, pool_id="first", volume="shared")
    guests = [evolve(guest(name, 1, pool="first"), disks=(shared,)) for name in ("a", "b")]
    assert pools_of(TWO_FOLDERS, *guests)["first"].used_elsewhere_bytes == 13 * GIB


@pytest.mark.parametrize(
    ("described", "gib"),
    [
        (saved(), 0),
        (saved(root={"size.state": "4GiB"}), 4),
        (saved(stateful=True), 1),  # 512 MiB, in whole GiB
        (saved(stateful=True, root={"size.state": "4GiB"}), 4),
        (saved(stateful=True, status_code=103), 0),  # it runs: the word is of before
    ],
)
def test_the_state_of_a_vm_takes_space(described: dict[str, Any], gib: int) -> None:
    answers = evolve(
        TWO_FOLDERS, instances=[described],
        pool_space={name: {"space": {"total": TOTAL, "used": 0}} for name in ("first", "second")},
    )  # fmt: skip
    assert pools_of(answers, guest("vm1", 8, pool="first"))["first"].used_elsewhere_bytes == gib * GIB
