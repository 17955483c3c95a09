"""Replaces the content of a guest's root disk: by an image, or by nothing."""

from __future__ import annotations

from common.guest_spec import DiskSpec
from rackd.drivers.libvirt.connection.objects import Volume
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.guests.pools import GuestPool
from rackd.drivers.libvirt.guests.volumes import create_empty, delete_from

# A new logical volume has the content of an earlier one. Without its first and last sectors, which have the partition
# table and its copy, no firmware finds an operating system there.
_WIPED_BYTES = 1024 * 1024


def write_image(pool: GuestPool, disk: DiskSpec, image: Volume) -> Volume:
    """Creates the volume of `disk` again, with the content of `image` and the size of the disk. Idempotent."""
    delete_from(pool.pool, disk.volume)
    volume = pool.pool.clone(volume_xml(disk.volume, disk.size_bytes, pool.type), disk.volume, image)
    if volume.capacity_bytes() < disk.size_bytes:  # libvirt gives a converted volume the size of its source
        volume.resize(disk.size_bytes)
    return volume


def empty(pool: GuestPool, disk: DiskSpec) -> None:
    """Creates the volume of `disk` again, without content. Idempotent."""
    delete_from(pool.pool, disk.volume)
    volume = create_empty(pool, disk)
    if pool.type == "logical":
        size_bytes = volume.capacity_bytes()
        wiped = bytes(min(_WIPED_BYTES, size_bytes))
        for offset in {0, size_bytes - len(wiped)}:
            volume.write(wiped, offset=offset)
