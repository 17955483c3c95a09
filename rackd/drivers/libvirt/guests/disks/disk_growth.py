"""Grows the disks of a domain: the volume while it is off, through QEMU while it runs."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from common.errors import Busy, DriverFailed, Unsupported
from common.guests.sizes import DiskSize, GrownDisk
from common.values import GuestDisk, GuestRef
from rackd.drivers.driver_errors import disk_not_found, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.disk_xml import format_of
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.disk_changes import check_no_overlay
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot
from rackd.drivers.libvirt.guests.lookup import disk_at, marked_domain, pool_paths, read_guest, tree_of
from rackd.drivers.libvirt.inventory.guests import SECTOR_BYTES, power_of
from rackd.drivers.resizing import before_start
from rackd.drivers.start_refusals import StartChange

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def grow(client: Client, guest: GuestRef, size: DiskSize) -> GrownDisk:
    """Returns the size that the disk has now. Raises as the driver contract says."""
    domain = required_guest(marked_domain(client, guest), guest)
    return GrownDisk(size_bytes=_grow(client, domain, size), power=power_of(domain.state()))


def grow_before_start(client: Client, domain: Domain, sizes: Iterable[DiskSize]) -> None:
    """Grows disks of a domain that is off; one that cannot grow keeps its size."""
    for size in sizes:
        with before_start(domain.name, StartChange.DISK):
            _grow(client, domain, size)


def _grow(client: Client, domain: Domain, size: DiskSize) -> int:
    disk = _find(client, domain, size)
    more = size.size_bytes - disk.size_bytes
    if more <= 0:
        return disk.size_bytes
    check_next_start_is_boot(domain, "disks")
    pool = guest_pool(client, size.pool_id)
    if pool.has_block_devices:
        raise Unsupported(
            f"{size.volume} cannot grow: libvirt does not change the size of volumes in a storage pool of the type "
            f"{pool.type}, such as {pool.pool.name}. Attach another disk.",
            volume=size.volume,
        )
    volumes.check_fits(pool.pool, more, pool.available_bytes(more), "To grow, the disk needs")
    wanted_bytes = -(-size.size_bytes // SECTOR_BYTES) * SECTOR_BYTES
    if domain.is_active():
        _grow_running(domain, disk.device, wanted_bytes)
    else:
        _grow_volume(client, domain, pool, size, wanted_bytes)
    return _find(client, domain, size).size_bytes


def _find(client: Client, domain: Domain, size: DiskSize) -> GuestDisk:
    """Returns the disk as the domain has it: what its guest writes at its beginning does not change its size."""
    disks = read_guest(client, domain).disks
    found = next((disk for disk in disks if (disk.pool_id, disk.volume) == (size.pool_id, size.volume)), None)
    if found is None:
        check_no_overlay(domain, tree_of(domain), size.volume)
        raise disk_not_found(domain.name, size.volume, (disk.volume for disk in disks))
    if not found.size_bytes:
        raise DriverFailed(f"libvirt does not know the size of the disk {size.volume} of {domain.name}.")
    return found


def _grow_running(domain: Domain, device: str, size_bytes: int) -> None:
    try:
        domain.grow_live(device, size_bytes)
    except (Busy, DriverFailed, Unsupported) as error:
        log.info("disk_not_grown_while_running", guest=domain.name, device=device, reason=str(error))
    else:
        log.info("disk_grown", guest=domain.name, device=device, size_bytes=size_bytes)


def _grow_volume(client: Client, domain: Domain, pool: GuestPool, size: DiskSize, size_bytes: int) -> None:
    tree = tree_of(domain)
    disk = disk_at(tree, pool_paths(client), (size.pool_id, size.volume))
    if disk is None:
        raise disk_not_found(domain.name, size.volume, volume_names(tree))
    volume = pool.volume_of(disk, size.volume)
    wanted, found = format_of(disk), volume.format()
    if found not in {"", wanted}:  # libvirt would resize the image that the guest has written on its disk
        raise Unsupported(
            f"{size.volume} cannot grow while {domain.name} is off: the disk is {wanted}, but the host takes its "
            f"content for an image of the format {found}. Grow it while the guest runs.",
            volume=size.volume,
        )
    try:
        volume.resize(size_bytes)
    except Unsupported as error:
        raise Unsupported(
            f"{size.volume} cannot grow in a storage pool of the type {pool.type}: {error}", volume=size.volume
        ) from error
    log.info("disk_grown", guest=domain.name, volume=size.volume, size_bytes=size_bytes)
