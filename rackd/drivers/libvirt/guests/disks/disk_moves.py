"""Copies the volume of a domain to another storage pool, and gives the domain the copy.

Of a domain that is off, a copy is only told from an incomplete one by the call that made it: the domain is changed by
another call. Of a running one, QEMU knows: see `live_copies`.
"""

from __future__ import annotations

import threading
from xml.etree import ElementTree as ET

import structlog

from common.disks.disk_content import CopiedDisk
from common.errors import DriverFailed, HostUnreachable, Unsupported, WrongState
from common.guests.guest_spec import DiskSpec
from common.values import GuestRef, PowerState
from rackd.drivers.disk_moves import changed_since, check_off
from rackd.drivers.driver_errors import disk_not_found, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.disk_xml import format_of, set_raw_source
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.guests.disks import live_copies, root_companions, volumes
from rackd.drivers.libvirt.guests.disks.dependents import dependents_of
from rackd.drivers.libvirt.guests.disks.disk_changes import check_no_overlay
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool, refresh
from rackd.drivers.libvirt.guests.disks.volume_formats import QCOW2, RAW, check_independent
from rackd.drivers.libvirt.guests.disks.volume_users import volume_users
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot, live_of
from rackd.drivers.libvirt.guests.lookup import definition_of, disk_at, marked_domain, pool_paths
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


_COMPARED_BYTES = 64 * 1024  # at the beginning, by which formats are told


def copy_disk(
    client: Client, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, *, closing: threading.Event
) -> CopiedDisk:
    """Returns when the source was last written, as far as its storage pool knows. Raises as the contract says."""
    domain = required_guest(marked_domain(client, guest), guest)
    paths, live = pool_paths(client), live_of(domain)
    definition = definition_of(domain)
    if disk_at(definition if live is None else live, paths, (copy.pool_id, copy.volume)) is not None:
        return CopiedDisk(state="")
    if live is not None:
        _start_live(client, domain, live, (pool_id, volume), copy)
        return live_copies.progress(client, domain, (pool_id, volume), copy, closing=closing)
    disk = source_in(domain, definition, client, pool_id, volume)
    source_pool, pool = guest_pool(client, pool_id), guest_pool(client, copy.pool_id)
    refresh(source_pool)
    source = movable_source(source_pool, disk, domain, volume)
    _check_free(client, source_pool, domain, volume, copy)
    _check_other_folder(source_pool, pool, volume)
    written = source.written_at()
    size_bytes = max(copy.size_bytes, source.capacity_bytes())
    if volumes.delete_from(pool.pool, copy.volume):
        log.warning("incomplete_copy_deleted", volume=copy.volume, pool=pool.pool.name)
    volumes.check_fits(pool.pool, size_bytes, pool.available_bytes(size_bytes), "The copy needs")
    made: list[Volume] = []
    try:
        made.append(copy_of(pool, copy, size_bytes, source, is_image=format_of(disk) != RAW))
        check_off(domain.name, power_of(domain.state()))
    except HostUnreachable:
        raise  # libvirt may still copy; the next attempt replaces what it makes
    except BaseException:
        volumes.undo(made)
        raise
    log.info("disk_copied", guest=domain.name, volume=volume, copy=copy.volume, pool=pool.pool.name)
    return CopiedDisk(state=written)


def _start_live(client: Client, domain: Domain, live: Element, place: tuple[str, str], copy: DiskSpec) -> None:
    """Begins the copy of a disk of a running domain, unless QEMU makes it already."""
    (pool_id, volume), paths = place, pool_paths(client)
    source_pool, pool = guest_pool(client, pool_id), guest_pool(client, copy.pool_id)
    disk = disk_at(live, paths, place)
    if disk is None:
        check_no_overlay(domain, live, volume)
        raise disk_not_found(domain.name, volume, sorted(volume_names(live)))
    if live_copies.is_copied_to(disk, pool.volume(copy.volume)):
        return
    live_copies.check_not_root(domain, live, disk)
    live_copies.check_no_other_job(domain, disk, volume)
    if disk_at(definition_of(domain), paths, place) is None:
        raise WrongState(f"{domain.name} does not have the disk {volume} after its next start.", volume=volume)
    source = movable_source(source_pool, disk, domain, volume)
    _check_free(client, source_pool, domain, volume, copy)
    _check_other_folder(source_pool, pool, volume)
    live_copies.start(domain, disk, volume, pool, copy, max(copy.size_bytes, source.capacity_bytes()))


def _check_other_folder(source_pool: GuestPool, pool: GuestPool, volume: str) -> None:
    if pool.volume(volume) is not None:
        raise WrongState(
            f"The storage pools {source_pool.pool.name} and {pool.pool.name} both have a volume {volume}: they show "
            "the same folder, or a copy was left there.",
            volume=volume,
        )


def use_copy(client: Client, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
    """Returns the power state. Raises as the driver contract says."""
    domain = required_guest(marked_domain(client, guest), guest)
    paths, live = pool_paths(client), live_of(domain)
    source_pool, pool = guest_pool(client, pool_id), guest_pool(client, copy.pool_id)
    if live is not None:
        _use_live(client, domain, live, (pool_id, volume), copy)
        return power_of(domain.state())
    definition = definition_of(domain)
    if disk_at(definition, paths, (copy.pool_id, copy.volume)) is not None:
        root_companions.delete_old(definition, source_pool, pool, guest.marker)
        return power_of(domain.state())
    disk = source_in(domain, definition, client, pool_id, volume)
    made = pool.required_volume(copy.volume)
    if movable_source(source_pool, disk, domain, volume).written_at() != state:
        raise changed_since(domain.name, volume)
    _check_free(client, source_pool, domain, volume, copy)
    set_raw_source(disk, made.path(), block=pool.has_block_devices)
    root_companions.move(definition, disk, source_pool, pool, guest.marker)
    client.define(ET.tostring(definition, encoding="unicode"), domain.name)
    root_companions.delete_old(definition, source_pool, pool, guest.marker)
    log.info("disk_moved", guest=domain.name, volume=volume, copy=copy.volume, pool=pool.pool.name)
    return power_of(domain.state())


def _use_live(client: Client, domain: Domain, live: Element, place: tuple[str, str], copy: DiskSpec) -> None:
    paths, pool = pool_paths(client), guest_pool(client, copy.pool_id)
    made = pool.required_volume(copy.volume)
    if disk_at(live, paths, place) is None and disk_at(live, paths, (copy.pool_id, copy.volume)) is None:
        raise disk_not_found(domain.name, place[1], sorted(volume_names(live)))
    live_copies.use(client, domain, live, place, made, block=pool.has_block_devices)
    log.info("disk_moved", guest=domain.name, volume=place[1], copy=copy.volume, pool=pool.pool.name, live=True)


def source_in(domain: Domain, definition: Element, client: Client, pool_id: str, volume: str) -> Element:
    """Returns the disk of a domain that is off, and whose next start is a boot from its definition."""
    check_off(domain.name, power_of(domain.state()))
    check_next_start_is_boot(domain, "disks")
    disk = disk_at(definition, pool_paths(client), (pool_id, volume))
    if disk is None:
        check_no_overlay(domain, definition, volume)
        raise disk_not_found(domain.name, volume, sorted(volume_names(definition)))
    return disk


def movable_source(pool: GuestPool, disk: Element, domain: Domain, name: str) -> Volume:
    """Returns the volume, also if it is a qcow2 image, as an adopted disk can be: the copy of its disk is raw.

    Raises Unsupported for one whose content would not be all of the disk, as `source_of` does for other formats.
    """
    volume = pool.volume_of(disk, name)
    if {format_of(disk), volume.format()} != {QCOW2}:
        return source_of(pool, disk, domain, name)
    check_independent(volume, to_copy=True)
    return volume


def source_of(pool: GuestPool, disk: Element, domain: Domain, name: str) -> Volume:
    """Returns the volume. Raises Unsupported for one whose content libvirt would convert instead of copying it."""
    volume = pool.volume_of(disk, name)
    wanted, found = format_of(disk), volume.format()
    if wanted != RAW or found not in {"", RAW}:
        seen = found if wanted == RAW else wanted
        raise Unsupported(
            f"{name} cannot be copied: the disk of {domain.name} is {wanted}, and the host takes its content for an "
            f"image of the format {seen}, which it would convert. Copy it on the host.",
            volume=name,
        )
    return volume


def _check_free(client: Client, pool: GuestPool, domain: Domain, volume: str, copy: DiskSpec) -> None:
    """Raises WrongState if something else uses the source or the copy."""
    if volume == copy.volume:
        raise WrongState(f"The copy of {volume} would have the same name.", volume=volume)
    users = volume_users(client)
    others = sorted(users.of_volume(pool.pool, volume) - {domain.name} | users.of(copy.volume))
    if others:
        raise WrongState(f"{volume} or its copy {copy.volume} is used by {', '.join(others)}.", volume=volume)
    check_no_dependents(client, pool, volume, "move")


def check_no_dependents(client: Client, pool: GuestPool, volume: str, what: str) -> None:
    """Raises WrongState if another volume is based on this one."""
    dependents = sorted(dependents_of(client, pool.pool, {volume})[volume])
    if dependents:
        raise WrongState(
            f"{', '.join(dependents)} in the storage pool {pool.pool.name} is based on {volume}, which therefore "
            f"cannot {what}. Merge or delete it on the host.",
            volume=volume,
        )


def copy_of(pool: GuestPool, copy: DiskSpec, size_bytes: int, source: Volume, *, is_image: bool = False) -> Volume:
    """Returns the complete copy, which is raw: of the disk in an image with `is_image`.

    Raises DriverFailed for one that is not complete, which still exists.
    """
    try:
        made = pool.pool.clone(volume_xml(copy.volume, size_bytes, pool.type), copy.volume, source)
    except Unsupported as error:
        raise Unsupported(
            f"libvirt copies no volume to a storage pool of the type {pool.type}, such as {pool.pool.name}: {error}",
            volume=copy.volume,
        ) from error
    if source.capacity_bytes() < size_bytes and made.capacity_bytes() < size_bytes:
        made.resize(size_bytes)
    _check_copy(made, None if is_image else source, size_bytes)
    return made


def _check_copy(copy: Volume, source: Volume | None, size_bytes: int) -> None:
    """Raises DriverFailed for a copy that is too short or was converted: then it begins with other bytes."""
    found = copy.capacity_bytes()
    if found < size_bytes or (source is not None and copy.head(_COMPARED_BYTES) != source.head(_COMPARED_BYTES)):
        raise DriverFailed(
            f"libvirt copied {found} of {size_bytes} bytes to {copy.name}, or converted them.", volume=copy.name
        )
