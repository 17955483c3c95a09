"""Empties a disk of a guest that is off."""

from __future__ import annotations

from common.guest_spec import DiskSpec
from rackd.drivers.libvirt.guests.pools import GuestPool
from rackd.drivers.libvirt.guests.volumes import create_empty, delete_from

# A new logical volume has the content of an earlier one. Without its first and last sectors, which have the partition
# table and its copy, no firmware finds an operating system there.
_WIPED_BYTES = 1024 * 1024


def empty(pool: GuestPool, disk: DiskSpec, *, overwrite: bool) -> None:
    """Creates the volume of `disk` again, without content. Idempotent.

    With `overwrite`, logical volumes are first filled with zeros; volumes of other pools never show old content.
    """
    is_logical = pool.type == "logical"
    old = pool.pool.volume(disk.volume) if is_logical and overwrite else None
    if old is not None:
        old.wipe()
    delete_from(pool.pool, disk.volume)
    volume = create_empty(pool, disk)
    if is_logical:
        size_bytes = volume.capacity_bytes()
        wiped = bytes(min(_WIPED_BYTES, size_bytes))
        for offset in {0, size_bytes - len(wiped)}:
            volume.write(wiped, offset=offset)
