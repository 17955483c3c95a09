"""Assigns each disk of a machine to a storage pool of the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from common.units import BYTES_PER_GB
from regiond.placement.model import DEFAULT_ROOT_BYTES, Candidate, CandidateStoragePool, DiskPlacement, DiskRequirement


def assign_storage(disks: Iterable[DiskRequirement], host: Candidate) -> tuple[tuple[DiskPlacement, ...], str | None]:
    """Returns the storage pool of each disk, or why one of them has none. Disks take space in their order.

    A pool that a tag names is first, then the host's default pool; neither has a fallback. A host without a
    default pool uses the first one with enough free space.
    """
    free_bytes = {pool.id: pool.free_bytes for pool in host.storage_pools}
    assigned: list[DiskPlacement] = []
    for disk in disks:
        size_bytes = disk.size_bytes or DEFAULT_ROOT_BYTES
        pools = _allowed_pools(disk, host)
        found = next((pool for pool in pools if free_bytes[pool.id] >= size_bytes), None)
        if found is None:
            return (), _missing_storage(size_bytes, pools, free_bytes)
        free_bytes[found.id] -= size_bytes
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


def _allowed_pools(disk: DiskRequirement, host: Candidate) -> Sequence[CandidateStoragePool]:
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    if named:
        return named
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return default or host.storage_pools


def _missing_storage(size_bytes: int, pools: Sequence[CandidateStoragePool], free_bytes: Mapping[int, int]) -> str:
    """Shows as many decimals as are needed to distinguish the required size from the largest free one."""
    most_bytes = max((free_bytes[pool.id] for pool in pools), default=0)
    digits = next(digits for digits in range(1, 10) if _gb(size_bytes, digits) != _gb(most_bytes, digits))
    required = f"needs a disk of {_gb(size_bytes, digits)} GB"
    if not pools:
        return f"{required}, the host has no storage pool"
    free = ", ".join(
        f"{_gb(free_bytes[pool.id], digits)} of {_gb(pool.total_bytes, digits)} GB free in {pool.name}"
        for pool in pools
    )
    return f"{required}, {free}"


def _gb(size_bytes: int, digits: int) -> str:
    """Nine digits are exact to the byte."""
    return f"{Decimal(size_bytes) / BYTES_PER_GB:.{digits}f}"
