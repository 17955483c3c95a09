"""Finds out which storage pools are on the same storage, so that its space counts once.

libvirt reports neither the device nor the file system of a folder. What it reports is the size of the file system to
the byte. Folders of different sizes are on different file systems; folders of the same size count as one, because
claims must never exceed what there is. Only the device proves that two file systems of one size are two: that of pools
of the type fs, which libvirt mounts, and that of folders of this computer.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from attrs import frozen

from rackd.drivers.libvirt.definitions.disk_xml import normalised
from rackd.drivers.libvirt.definitions.pool_types import FOLDER_TYPES
from rackd.drivers.libvirt.xml import Element, attribute, bytes_at, text_at

# A device has one name in each of these folders of /dev, so that two names there are two devices.
_UNIQUE_NAMES = ("/dev", "/dev/mapper", "/dev/disk/by-uuid", "/dev/disk/by-partuuid")

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")

DeviceAt = Callable[[str, int], str | None]


@frozen(kw_only=True)
class Usage:
    """The content of a pool's storage: `allocated_bytes` in all, `guests_bytes` of it in disks of guests."""

    allocated_bytes: int
    guests_bytes: int


def storage_ids(pools: Iterable[Element], device_at: DeviceAt | None = None) -> Mapping[str, str]:
    """Returns an id of the storage by the UUID of each active pool; pools with the same id share the storage.

    `device_at` returns the block device of the file system at a path, if it is one of this many bytes and known.
    """
    pools = tuple(pools)
    folders = [pool for pool in pools if pool.get("type") in FOLDER_TYPES]
    devices = {_uuid(pool): _device(pool, folders, device_at) for pool in folders}
    unknown = {_capacity(pool) for pool in folders if devices[_uuid(pool)] is None}
    return {_uuid(pool): _storage_id(pool, devices.get(_uuid(pool)), unknown) for pool in pools}


def usages(pools: Iterable[Element], ids: Mapping[str, str], guests_bytes: Mapping[str, int]) -> Mapping[str, Usage]:
    """Returns the usage by storage id. Of pools that libvirt refreshed at different times, the fullest counts.

    `guests_bytes` maps the UUID of a pool to the space that disks of guests take in it.
    """
    allocated, of_guests = Counter[str](), Counter[str]()
    for pool in pools:
        storage = ids[_uuid(pool)]
        allocated[storage] = max(allocated[storage], bytes_at(pool, "allocation", unit="bytes") or 0)
        of_guests[storage] += guests_bytes.get(_uuid(pool), 0)
    return {one: Usage(allocated_bytes=allocated[one], guests_bytes=of_guests[one]) for one in allocated}


def local_device(path: str, capacity_bytes: int) -> str | None:
    """Returns the number of the block device at a path of this computer; None if it is unknown.

    A rack in a container can have another file system at the path: then the sizes differ. File systems without a block
    device of their own, such as Btrfs, NFS and overlays, have a number for each subvolume or mount. Asks the kernel for
    its mounts first: a server of NFS that does not answer would hold the thread for ever.
    """
    try:
        if not _is_on_block_device(path):
            return None
        device, found = os.stat(path).st_dev, os.statvfs(path)
    except (OSError, ValueError):
        return None
    if os.major(device) == 0 or found.f_frsize * found.f_blocks != capacity_bytes:
        return None
    return f"{os.major(device)}:{os.minor(device)}"


def _is_on_block_device(path: str) -> bool:
    """Raises OSError or ValueError if the kernel does not list its mounts."""
    best, major = "", "0"
    for line in _MOUNTS.read_text(errors="surrogateescape").splitlines():
        _, _, number, _, escaped, *_ = line.split(" ")
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), escaped)
        if f"{normalised(path)}/".startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, major = point, number.partition(":")[0]  # of several mounts at one place the last one counts
    return major != "0"


def _storage_id(pool: Element, device: str | None, unknown: set[int]) -> str:
    source = text_at(pool, "source/name") or text_at(pool, "name")
    if pool.get("type") == "logical":
        return f"volume group {source}"
    if pool.get("type") == "zfs":
        return f"ZFS pool {source.partition('/')[0]}"
    if device is not None and _capacity(pool) not in unknown:
        return f"device {device}"
    return f"file system of {_capacity(pool)} bytes"


def _device(pool: Element, folders: Iterable[Element], device_at: DeviceAt | None) -> str | None:
    if device_at is not None:
        found = device_at(text_at(pool, "target/path"), _capacity(pool))
        if found is not None:
            return found
    mounted = [one for one in folders if one.get("type") == "fs" and _contains(one, pool)]
    if not mounted or len({posixpath.dirname(_source_device(one)) for one in folders if one.get("type") == "fs"}) > 1:
        return None
    innermost = _source_device(max(mounted, key=lambda one: len(_path(one))))
    return innermost if posixpath.dirname(innermost) in _UNIQUE_NAMES else None


def _contains(mounted: Element, pool: Element) -> bool:
    """Returns whether the folder is in this file system, which another can cover there: then the sizes differ."""
    inside = f"{_path(pool)}/".startswith(_path(mounted).rstrip("/") + "/")
    return inside and _capacity(mounted) == _capacity(pool)


def _path(pool: Element) -> str:
    return normalised(text_at(pool, "target/path"))


def _source_device(pool: Element) -> str:
    return attribute(pool, "source/device", "path")


def _uuid(pool: Element) -> str:
    return text_at(pool, "uuid")


def _capacity(pool: Element) -> int:
    return bytes_at(pool, "capacity", unit="bytes") or 0
