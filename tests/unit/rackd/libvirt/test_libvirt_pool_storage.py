"""Which of libvirt's storage pools are on the same storage, by what libvirt reports of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rackd.drivers.libvirt.inventory.pool_storage import Usage, local_device, storage_ids, usages
from rackd.drivers.libvirt.xml import Element, parse

SIZE = 270_553_174_016


def pool(uuid: str, kind: str = "dir", *, size: int = SIZE, path: str = "", source: str = "", used: int = 0) -> Element:
    xml = f"""<pool type='{kind}'><name>{uuid}</name><uuid>{uuid}</uuid>
      <capacity unit='bytes'>{size}</capacity><allocation unit='bytes'>{used}</allocation>
      <source>{source}</source><target><path>{path or f"/srv/{uuid}"}</path></target></pool>"""
    return parse(xml, "a storage pool")


def device(path: str) -> str:
    return f"<device path='{path}'/>"


def volume_group(name: str) -> str:
    return f"<name>{name}</name>"


def sharing(*pools: Element, device_at: Callable[[str, int], str | None] | None = None) -> set[frozenset[str]]:
    """The groups of pools that count as one storage."""
    found: dict[str, set[str]] = {}
    for uuid, storage in storage_ids(pools, device_at).items():
        found.setdefault(storage, set()).add(uuid)
    return {frozenset(one) for one in found.values()}


def alone(*uuids: str) -> set[frozenset[str]]:
    return {frozenset({uuid}) for uuid in uuids}


def test_folders_on_file_systems_of_one_size_count_as_one() -> None:
    assert sharing(pool("a"), pool("b"), pool("c", size=SIZE + 4096)) == {frozenset("ab"), frozenset("c")}


@pytest.mark.parametrize("kind", ["fs", "netfs"])
def test_a_mounted_pool_shares_with_folders_in_it(kind: str) -> None:
    mounted = pool("m", kind, path="/srv/m", source=device("/dev/sdb1"))
    assert sharing(mounted, pool("a", path="/srv/m/images"), pool("b", path="/elsewhere", size=7)) == {
        frozenset("ma"), frozenset("b"),
    }  # fmt: skip


def test_two_devices_of_one_size_that_libvirt_mounts_are_two() -> None:
    disks = (pool("a", "fs", source=device("/dev/sdb1")), pool("b", "fs", source=device("/dev/sdc1")))
    assert sharing(*disks) == alone("a", "b")
    assert sharing(*disks, pool("c", path="/srv/a/iso")) == {frozenset("ac"), frozenset("b")}
    assert sharing(*disks, pool("c", path="/data")) == {frozenset("abc")}  # on either of them


def test_two_pools_of_one_device_share_it() -> None:
    source = device("/dev/sdb1")
    assert sharing(pool("a", "fs", source=source), pool("b", "fs", source=source)) == {frozenset("ab")}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/dev/sdb1", "/dev/disk/by-uuid/0fc63daf"),
        ("/dev/disk/by-id/ata-ST1000", "/dev/disk/by-id/wwn-0x5000c500"),
        ("", "/dev/sdb1"),
    ],
)
def test_different_names_of_devices_prove_nothing(first: str, second: str) -> None:
    assert sharing(pool("a", "fs", source=device(first)), pool("b", "fs", source=device(second))) == {frozenset("ab")}


def test_exports_of_one_size_count_as_one_file_system() -> None:
    """Two exports of a server can be folders of one file system there."""
    exports = [pool(name, "netfs", source=f"<host name='nas'/><dir path='/export/{name}'/>") for name in ("a", "b")]
    assert sharing(*exports) == {frozenset("ab")}


def test_pools_of_a_volume_group_or_zfs_pool_share_it() -> None:
    groups = [pool(one, "logical", source=volume_group(name)) for one, name in (("a", "v"), ("b", "v"), ("c", "w"))]
    assert sharing(*groups) == {frozenset("ab"), frozenset("c")}
    tanks = [pool(one, "zfs", source=volume_group(name)) for one, name in (("a", "t"), ("b", "t/vms"), ("c", "u"))]
    assert sharing(*tanks) == {frozenset("ab"), frozenset("c")}
    assert sharing(groups[0], pool("d"), pool("e", "zfs", source=volume_group("v"))) == alone("a", "d", "e")


def test_devices_of_this_computer_prove_two_file_systems() -> None:
    known: Mapping[str, str] = {"/srv/a": "7:1", "/srv/b": "7:2", "/srv/c": "7:1"}
    pools = (pool("a"), pool("b"), pool("c"))
    assert sharing(*pools, device_at=lambda path, _: known.get(path)) == {frozenset("ac"), frozenset("b")}
    assert sharing(*pools, pool("d"), device_at=lambda path, _: known.get(path)) == {frozenset("abcd")}


def test_a_device_is_known_only_by_its_size(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    size = found.f_frsize * found.f_blocks
    has_device = os.major(tmp_path.stat().st_dev) != 0
    assert (local_device(str(tmp_path), size) is not None) is has_device
    assert local_device(str(tmp_path), size + 1) is None
    assert local_device(str(tmp_path / "absent"), size) is None
    assert local_device("/proc", 0) is None


def test_the_usage_of_shared_storage_is_that_of_the_fullest_pool() -> None:
    pools = (pool("a", used=700), pool("b", used=500), pool("c", size=9, used=3))
    ids = {"a": "one", "b": "one", "c": "two"}
    found = usages(pools, ids, {"a": 100, "b": 50})
    assert found == {
        "one": Usage(allocated_bytes=700, guests_bytes=150), "two": Usage(allocated_bytes=3, guests_bytes=0),
    }  # fmt: skip
