"""Replaces the content of a guest's root disk by an image."""

from __future__ import annotations

from common.guest_spec import DiskSpec
from rackd.drivers.libvirt.connection.objects import Volume
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.guests.pools import GuestPool
from rackd.drivers.libvirt.guests.volumes import delete_from


def write_image(pool: GuestPool, disk: DiskSpec, image: Volume) -> Volume:
    """Creates the volume of `disk` again, with the content of `image` and the size of the disk. Idempotent."""
    delete_from(pool.pool, disk.volume)
    volume = pool.pool.clone(volume_xml(disk.volume, disk.size_bytes, pool.type), disk.volume, image)
    if volume.capacity_bytes() < disk.size_bytes:  # libvirt gives a converted volume the size of its source
        volume.resize(disk.size_bytes)
    return volume
