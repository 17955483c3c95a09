"""Storage pools on the same storage, and what is in them besides the disks of guests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from common.units import BYTES_PER_MIB
from common.values import Guest
from rackd.drivers.lxd.inventory.config_values import is_true, size_bytes
from rackd.drivers.lxd.inventory.ownership import Json, id_of
from rackd.drivers.lxd.inventory.removal_facts import has_saved_memory

_CEPH = {"ceph": "ceph.cluster_name", "cephfs": "cephfs.cluster_name"}


def storage_ids(pools: Iterable[Json], total_bytes: Mapping[str, int]) -> Mapping[str, str]:
    """Returns an id of the storage by the name of each pool; pools with the same one share their space.

    Servers report no device of a folder, but the size of its file system to the byte. Folders of the same size count as
    one: claims must never exceed what there is.
    """
    return {str(pool["name"]): _storage_id(pool, total_bytes.get(str(pool["name"]), 0)) for pool in pools}


def _storage_id(pool: Json, total_bytes: int) -> str:
    driver, name = str(pool["driver"]), str(pool["name"])
    config: Mapping[str, str] = pool.get("config") or {}
    source = config.get("source") or ""
    if driver == "dir" or (driver == "btrfs" and not source.endswith(".img")):
        return f"file system of {total_bytes} bytes" if total_bytes else ""
    if driver == "zfs":
        return f"ZFS pool {(config.get('zfs.pool_name') or source or name).partition('/')[0]}"
    if driver in {"lvm", "lvmcluster"}:
        group = config.get("lvm.vg_name") or name
        is_thin = driver == "lvm" and is_true(config.get("lvm.use_thinpool"), unset=True)
        thin = f"/{config.get('lvm.thinpool_name') or 'pool'}" if is_thin else ""
        return f"volume group {group}{thin}"
    if driver in _CEPH:
        return f"Ceph cluster {config.get(_CEPH[driver]) or 'ceph'}"
    return f"storage pool {name}"


@frozen(kw_only=True)
class GuestStorage:
    """Space that guests have in storage pools, by pool: disks, each volume once, and volumes for their states."""

    disks: Mapping[str, int]
    states: Mapping[str, int]


def guest_storage(guests: Iterable[Guest], instances: Iterable[Json]) -> GuestStorage:
    """`guests` are those of `instances`, which can have others too."""
    found: dict[tuple[str, str, str], int] = {}
    memory = {}
    for guest in guests:
        memory[guest.project, guest.guest_id] = guest.memory_mib * BYTES_PER_MIB
        for disk in guest.disks:
            if disk.pool_id is not None:
                user = "" if disk.volume else f"{guest.project}/{guest.guest_id}/{disk.device}"
                found[disk.pool_id, user, disk.volume or ""] = disk.size_bytes
    disks: dict[str, int] = {}
    for (pool, _, _), size in found.items():
        disks[pool] = disks.get(pool, 0) + size
    states: dict[str, int] = {}
    for instance in instances:
        amount = memory.get((str(instance.get("project") or "default"), id_of(instance)))
        root = next((one for one in _devices(instance) if one.get("path") == "/"), None)
        if root is not None and amount is not None and root.get("pool"):
            states[root["pool"]] = states.get(root["pool"], 0) + _state_bytes(instance, root, amount)
    return GuestStorage(disks=disks, states=states)


def _state_bytes(instance: Json, root: Mapping[str, str], memory_bytes: int) -> int:
    """Returns what the volume beside the root disk is for: `size.state`, or at least the memory that is saved there."""
    try:
        reserved = size_bytes(root["size.state"]) if root.get("size.state") else 0
    except ValueError:
        reserved = 0
    return max(reserved, memory_bytes if has_saved_memory(instance) else 0)


def _devices(instance: Json) -> Iterable[Mapping[str, str]]:
    devices: Mapping[str, Mapping[str, str]] = instance.get("expanded_devices") or instance.get("devices") or {}
    return (one for one in devices.values() if one.get("type") == "disk")
