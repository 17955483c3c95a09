"""Makes disks of a domain larger: the volume while the domain is off, through QEMU while it runs."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from common.errors import Busy, DriverFailed, NotFound, Unsupported, WrongState
from common.values import DiskSize, GrownDisk, GuestRef
from rackd.drivers.driver_errors import disk_not_found, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.guests import volumes
from rackd.drivers.libvirt.guests.dependents import dependents_of
from rackd.drivers.libvirt.guests.lookup import disks_by_place, marked_domain, pool_paths, read_guest, tree_of
from rackd.drivers.libvirt.guests.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.xml import Element, attribute, parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_GROWING_POOLS = {"dir"}  # of POOL_TYPES; libvirt has no call that resizes a volume of the others


def grow(client: Client, guest: GuestRef, size: DiskSize) -> GrownDisk:
    """Returns the size that the disk has now. Raises as the driver contract says."""
    return grow_disk(client, required_guest(marked_domain(client, guest), guest), size)


def grow_disk(client: Client, domain: Domain, size: DiskSize) -> GrownDisk:
    """Raises as the driver contract says, and WrongState for a disk with a snapshot on top of it."""
    tree = tree_of(domain)
    disk = _disk_of(client, domain, tree, size)
    before = _read(client, domain, size)
    more_bytes = size.size_bytes - before.size_bytes
    if more_bytes <= 0:
        return before
    pool = guest_pool(client, size.pool_id)
    if pool.type not in _GROWING_POOLS:
        raise Unsupported(
            f"The disk {size.volume} cannot grow: its storage pool {pool.name} has the type {pool.type}, and libvirt "
            f"makes only volumes of the type {', '.join(sorted(_GROWING_POOLS))} larger."
        )
    volumes.check_space(pool, more_bytes)
    if domain.is_active():
        _grow_running(domain, disk, size)
    else:
        _grow_volume(pool, disk, size)
    after = _read(client, domain, size)
    log.info(
        "disk_grown", guest=domain.name, volume=size.volume, from_bytes=before.size_bytes, to_bytes=after.size_bytes
    )
    return after


def _disk_of(client: Client, domain: Domain, tree: Element, size: DiskSize) -> Element:
    disks = disks_by_place(tree, pool_paths(client))
    disk = disks.get((size.pool_id, size.volume))
    if disk is not None:
        return disk
    if size.volume in volume_names(tree) or _is_base_of(client, size, {place[1] for place in disks}):
        raise WrongState(
            f"{domain.name} has a snapshot on top of {size.volume}, which therefore cannot grow. On that host, merge "
            "it: virsh blockcommit.",
            name=domain.name,
        )
    raise disk_not_found(domain.name, size.volume, (place[1] for place in disks))


def _is_base_of(client: Client, size: DiskSize, volumes: Collection[str]) -> bool:
    """The XML of a guest that is off does not name the base of a disk."""
    pool = guest_pool(client, size.pool_id).pool
    return not dependents_of(client, pool, [size.volume])[size.volume].isdisjoint(volumes)


def _read(client: Client, domain: Domain, size: DiskSize) -> GrownDisk:
    guest = read_guest(client, domain)
    place = (size.pool_id, size.volume)
    found = next((disk for disk in guest.disks if (disk.pool_id, disk.volume) == place), None)
    if found is None or not found.size_bytes:
        raise DriverFailed(f"The size of the disk {size.volume} of {domain.name} is unknown.")
    return GrownDisk(size_bytes=found.size_bytes, power=guest.power)


def _grow_running(domain: Domain, disk: Element, size: DiskSize) -> None:
    """Logs a refusal: the next start makes the disk larger."""
    try:
        domain.resize_live_disk(attribute(disk, "target", "dev"), size.size_bytes)
    except (Busy, DriverFailed, Unsupported) as error:
        log.info("disk_not_grown_while_running", guest=domain.name, volume=size.volume, reason=str(error))


def _grow_volume(pool: GuestPool, disk: Element, size: DiskSize) -> None:
    """Refuses a raw volume that begins like an image of another format, as its guest can make it.

    libvirt would change it as such an image, and with it each file that the image names as its own.
    """
    volume = pool.pool.volume(size.volume)
    if volume is None:
        pool.pool.refresh()
        volume = pool.pool.volume(size.volume)
    if volume is None:
        raise NotFound(f"The storage pool {pool.name} has no volume {size.volume}.", volume=size.volume)
    used_as = attribute(disk, "driver", "type", "raw")
    found = attribute(parse(volume.xml(), f"the volume {size.volume}"), "target/format", "type", "raw")
    if found != used_as:
        raise Unsupported(
            f"The disk {size.volume} cannot grow while its guest is off: the guest uses it as {used_as}, but its "
            f"content begins like an image of the format {found}. It can grow while the guest runs."
        )
    volume.resize(size.size_bytes)
