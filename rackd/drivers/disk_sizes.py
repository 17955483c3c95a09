"""Rules that all drivers apply when a disk of a guest grows."""

from __future__ import annotations

from collections.abc import Iterable

from common.values import DiskSize, Guest


def named_sizes(guest: Guest, named: Iterable[DiskSize]) -> tuple[DiskSize, ...]:
    """Returns the sizes that these disks have now. Omits disks that the guest lacks, and sizes that are unknown."""
    wanted = {(one.pool_id, one.volume) for one in named}
    return tuple(
        DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=disk.size_bytes)
        for disk in guest.disks
        if disk.pool_id
        and disk.volume
        and disk.size_bytes
        and not disk.missing
        and (disk.pool_id, disk.volume) in wanted
    )
