"""Rules that all drivers apply when a disk of a guest grows."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from common.guests.sizes import DiskSize
from common.values import Guest


def named_sizes(guest: Guest, named: Iterable[DiskSize]) -> tuple[DiskSize, ...]:
    """Returns the sizes that these disks have now. Omits disks that the guest lacks, and sizes that are unknown.

    A disk without a volume of its own, as an adopted guest of LXD has one, is named after its device.
    """
    has = {(disk.pool_id, disk.volume or disk.device): disk.size_bytes for disk in guest.disks if not disk.missing}
    return tuple(
        evolve(one, size_bytes=size_bytes) for one in named if (size_bytes := has.get((one.pool_id, one.volume)))
    )
