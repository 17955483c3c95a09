"""Assigns each disk of a machine to a storage pool of the host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from common.units import BYTES_PER_GB
from regiond.placement.candidate import Candidate, CandidateStoragePool
from regiond.placement.model import DiskPlacement
from regiond.placement.requirements import DEFAULT_ROOT_BYTES, DiskRequirement
from regiond.placement.storage_parser import DEFAULT_DISK

# Incus makes a disk of a VM in whole blocks, larger than asked for. Version 7.0.2 cannot back up one of another size.
_BLOCK_BYTES: Mapping[str, int] = {"Incus": 8192}


def assign_storage(disks: Iterable[DiskRequirement], host: Candidate) -> tuple[tuple[DiskPlacement, ...], str | None]:
    """Returns the storage pool of each disk, or why one of them has none. Disks take space in their order.

    A disk is in a pool that it demands, else in one that a tag names, else in the host's default pool; none has a
    fallback. A host without a default pool uses the first one with enough free space. A disk has the size that the
    host's product makes, which may be a little more than is required.
    """
    free_bytes = {pool.id: pool.free_bytes for pool in host.storage_pools}
    sharing = pools_by_storage(host.storage_pools)
    assigned: list[DiskPlacement] = []
    for disk in disks:
        size_bytes = whole_size(disk.size_bytes or DEFAULT_ROOT_BYTES, product=host.product)
        pools = _allowed_pools(disk, host)
        if disk.pools and not pools:
            return (), missing_pool(disk, host)
        found = next((pool for pool in pools if pool.is_available and free_bytes[pool.id] >= size_bytes), None)
        if found is None:
            return (), _missing_storage(size_bytes, pools, free_bytes, sharing)
        for shared in sharing[found.storage]:
            free_bytes[shared.id] -= size_bytes
        assigned.append(
            DiskPlacement(
                label=disk.label,
                size_bytes=size_bytes,
                tags=disk.tags,
                storage_pool_id=found.id,
                storage_pool=found.name,
            )
        )
    return tuple(assigned), None


def whole_size(size_bytes: int, *, product: str) -> int:
    """Returns the size of a new or grown disk on a host of this product that has room for so many bytes."""
    block = _BLOCK_BYTES.get(product, 1)
    return -(-size_bytes // block) * block


def pools_by_storage(pools: Iterable[CandidateStoragePool]) -> Mapping[str | int, Sequence[CandidateStoragePool]]:
    """Returns the pools of a server by what they share (`CandidateStoragePool.storage`)."""
    found: dict[str | int, list[CandidateStoragePool]] = {}
    for pool in pools:
        found.setdefault(pool.storage, []).append(pool)
    return found


def missing_pool(disk: DiskRequirement, host: Candidate) -> str | None:
    """Returns why the host has none of the storage pools that the disk demands; None if it has one."""
    known = [pool.name for pool in host.storage_pools]
    if not disk.pools or not set(disk.pools).isdisjoint(known):
        return None
    others = f"the host has {', '.join(known)}" if known else "the host has no storage pool"
    return f"needs the storage pool {' or '.join(disk.pools)}, {others}"


def label_notes(disks: Iterable[DiskRequirement], pools: Collection[str], host_name: str) -> tuple[str, ...]:
    """Names each tag that is no storage pool of the host, so that the disk may be in another pool than expected."""
    notes: list[str] = []
    for disk in disks:
        labels = [tag for tag in disk.tags if tag not in pools]
        if labels and disk != DEFAULT_DISK:
            what = f"{'The tag' if len(labels) == 1 else 'The tags'} {', '.join(labels)} of {_described(disk)}"
            only = "names no storage pool" if len(labels) == 1 else "name no storage pool"
            of = f"{host_name} ({', '.join(pools)})" if pools else host_name
            does = "it only labels the disk" if len(labels) == 1 else "they only label the disk"
            notes.append(f"{what} {only} of {of}: {does}. To demand a pool: pool:{labels[0]}.")
    return tuple(dict.fromkeys(notes))


def _described(disk: DiskRequirement) -> str:
    return f"the disk {disk.label}" if disk.label else f"a disk of {Decimal(disk.size_bytes) / BYTES_PER_GB:f} GB"


def _allowed_pools(disk: DiskRequirement, host: Candidate) -> Sequence[CandidateStoragePool]:
    if disk.pools:
        return [pool for pool in host.storage_pools if pool.name in disk.pools]
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    if named:
        return named
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return default or host.storage_pools


def _missing_storage(
    size_bytes: int,
    pools: Sequence[CandidateStoragePool],
    free_bytes: Mapping[int, int],
    sharing: Mapping[str | int, Sequence[CandidateStoragePool]],
) -> str:
    """Shows as many decimals as are needed to distinguish the required size from the largest free one."""
    most_bytes = max((free_bytes[pool.id] for pool in pools if pool.is_available), default=0)
    digits = next(digits for digits in range(1, 10) if _gb(size_bytes, digits) != _gb(most_bytes, digits))
    required = f"needs a disk of {_gb(size_bytes, digits)} GB"
    if not pools:
        return f"{required}, the host has no storage pool"
    free = ", ".join(
        f"{_gb(free_bytes[pool.id], digits)} of {_gb(pool.total_bytes, digits)} GB free in {pool.name}"
        f"{_shared(pool, sharing[pool.storage])}"
        if pool.is_available
        else f"the storage pool {pool.name} is {pool.status}"
        for pool in pools
    )
    return f"{required}, {free}"


def _shared(pool: CandidateStoragePool, on_its_storage: Sequence[CandidateStoragePool]) -> str:
    """Says why an empty pool can be full: its space is claimed in others."""
    others = [other.name for other in on_its_storage if other.id != pool.id]
    return f" (shares its space with {', '.join(others)})" if others else ""


def _gb(size_bytes: int, digits: int) -> str:
    """Nine digits are exact to the byte."""
    return f"{Decimal(size_bytes) / BYTES_PER_GB:.{digits}f}"
