"""Reads the disks of a domain that is off, and fills those of a new one, in parts."""

from __future__ import annotations

import time
from collections.abc import Iterator

from attrs import frozen

from common.disks.disk_content import MAX_PART_BYTES, DiskPart, ReadPart, is_zero
from common.errors import Unsupported, WrongState
from common.values import GuestRef
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import disk_not_found, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.disk_xml import format_of
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.guests.disks.disk_changes import check_no_overlay
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot
from rackd.drivers.libvirt.guests.lookup import definition_of, disk_at, marked_domain, pool_paths
from rackd.drivers.libvirt.inventory.guests import power_of

_SEARCH_S = 5.0  # in which zeros of a block device are read before the caller is told how far


@frozen(kw_only=True)
class _Disk:
    domain: Domain
    pool: GuestPool
    volume: Volume


def read(client: Client, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
    """Returns the next part. Raises as the driver contract says."""
    disk = _disk(client, guest, pool_id, volume)
    size_bytes, state = disk.volume.length_bytes(), disk.volume.written_at()
    if start >= size_bytes:
        return ReadPart(part=DiskPart(start=start, offset=start), size_bytes=size_bytes, state=state)
    if disk.pool.has_block_devices:
        part = _search(disk.volume, start, size_bytes)
    else:
        offset, data = disk.volume.next_data(start, size_bytes, MAX_PART_BYTES)
        part = DiskPart(start=start, offset=offset, data=data)
    return ReadPart(part=part, size_bytes=size_bytes, state=state)


def write(client: Client, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
    """Raises as the driver contract says. A new file has zeros; a new logical volume has what was there before."""
    disk = _disk(client, guest, pool_id, volume)
    size_bytes = disk.volume.length_bytes()
    if not 0 <= part.start <= part.offset <= part.end <= size_bytes:
        raise WrongState(f"{volume} has {size_bytes} bytes; {part.start} to {part.end} are not on it.", volume=volume)
    if disk.pool.has_block_devices and part.offset > part.start:
        disk.volume.fill(_zeros(part.offset - part.start), part.offset - part.start, offset=part.start)
    if part.data:
        disk.volume.write(part.data, offset=part.offset)


def _disk(client: Client, guest: GuestRef, pool_id: str, volume: str) -> _Disk:
    domain = required_guest(marked_domain(client, guest), guest)
    check_off(domain.name, power_of(domain.state()))
    check_next_start_is_boot(domain, "disks")
    definition = definition_of(domain)
    found = disk_at(definition, pool_paths(client), (pool_id, volume))
    if found is None:
        check_no_overlay(domain, definition, volume)
        raise disk_not_found(domain.name, volume, sorted(volume_names(definition)))
    if format_of(found) != "raw":
        raise Unsupported(
            f"The disk {volume} of {domain.name} has the format {format_of(found)}, of which Innkeeper reads none but "
            "raw: it may be based on other files of the host. Convert it on the host: qemu-img convert -O raw.",
            volume=volume,
        )
    pool = guest_pool(client, pool_id)
    return _Disk(domain=domain, pool=pool, volume=pool.required_volume(volume))


def _search(volume: Volume, start: int, size_bytes: int) -> DiskPart:
    """Reads a block device, of which libvirt knows no holes, until something is there."""
    deadline, offset = time.monotonic() + _SEARCH_S, start
    while offset < size_bytes:
        data = volume.read(offset, min(MAX_PART_BYTES, size_bytes - offset))
        if not data:
            break
        if not is_zero(data):
            return DiskPart(start=start, offset=offset, data=data)
        offset += len(data)
        if time.monotonic() > deadline:
            return DiskPart(start=start, offset=offset)
    return DiskPart(start=start, offset=size_bytes)


def _zeros(count: int) -> Iterator[bytes]:
    whole = bytes(MAX_PART_BYTES)
    for start in range(0, count, MAX_PART_BYTES):
        yield whole[: count - start]
