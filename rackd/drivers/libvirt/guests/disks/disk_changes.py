"""Attaches volumes to a domain as disks and detaches them, also while it runs.

A running domain takes a disk at once. It loses one only if its system gives it back: QEMU asks the guest, and nothing
withdraws the question.
"""

from __future__ import annotations

import threading
from xml.etree import ElementTree as ET

import structlog

from common.errors import HostUnreachable, InnkeeperError, NotFound, WrongState
from common.guests.guest_spec import DiskSpec
from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.disk_xml import (
    PreparedDisk,
    add_disk,
    check_serial,
    disk_element,
    free_target,
    overlay_on,
    remove_disk,
)
from rackd.drivers.libvirt.definitions.domain_config import volume_names
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool, refresh
from rackd.drivers.libvirt.guests.disks.volume_formats import RAW, format_to_attach
from rackd.drivers.libvirt.guests.disks.volume_users import volume_users
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot, live_of, plug, unplug
from rackd.drivers.libvirt.guests.lookup import (
    definition_of,
    disk_at,
    disks_named,
    marked_domain,
    pool_paths,
    tree_of,
)
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_Place = tuple[str, str]  # pool id, volume


def attach(client: Client, guest: GuestRef, disk: DiskSpec, *, create: bool) -> PowerState:
    """Returns the power state. Raises as the driver contract says."""
    check_serial(disk.serial)
    domain = required_guest(marked_domain(client, guest), guest)
    definition, live = definition_of(domain), live_of(domain)
    paths, place = pool_paths(client), (disk.pool_id, disk.volume)
    states = [tree for tree in (live, definition) if tree is not None]
    lacking = [tree for tree in states if disk_at(tree, paths, place) is None]
    if not lacking:
        return power_of(domain.state())
    check_next_start_is_boot(domain, "disks")
    has_half = len(lacking) < len(states)  # of an administrator's change
    target = free_target(states)
    if target is None:
        raise WrongState(f"{domain.name} cannot get the disk {disk.volume}: it has too many.", name=domain.name)
    pool = guest_pool(client, disk.pool_id)
    created: list[Volume] = []
    try:
        volume = _find_or_make(client, pool, disk, {domain.name} if has_half else set(), created, create=create)
        prepared = PreparedDisk(
            spec=disk,
            path=volume.path(),
            block=pool.has_block_devices,
            format=RAW if volume in created else format_to_attach(volume, disk),
        )
        element = disk_element(prepared, target)
        if live in lacking:
            plug(domain, element, f"the disk {disk.volume}", persistent=definition in lacking)
        else:
            add_disk(definition, element)
            client.define(ET.tostring(definition, encoding="unicode"), domain.name)
    except HostUnreachable:
        raise  # libvirt may still attach the volume, which the next attempt uses
    except BaseException:
        _undo(domain, disk.volume, created)
        raise
    log.info("disk_attached", guest=domain.name, device=target, volume=disk.volume, created=bool(created))
    return power_of(domain.state())


def _find_or_make(
    client: Client, pool: GuestPool, disk: DiskSpec, own: set[str], created: list[Volume], *, create: bool
) -> Volume:
    """Appends a volume that it makes to `created`. `own` has the guest's name if the guest may use the volume."""
    users = sorted(volume_users(client).of_volume(pool.pool, disk.volume) - own)
    if users:
        raise WrongState(f"The volume {disk.volume} is used by {', '.join(users)}.", volume=disk.volume)
    if not create:
        refresh(pool)
    volume = pool.volume(disk.volume)
    where = f"The storage pool {pool.pool.name}"
    if volume is not None:
        size_bytes = volume.capacity_bytes()
        if create and not volumes.is_size_of(disk, size_bytes):
            raise WrongState(
                f"{where} already has a volume {disk.volume}, of {size_bytes} bytes; the new disk would have "
                f"{disk.size_bytes}.",
                volume=disk.volume,
            )
        return volume
    if not create:
        raise NotFound(f"{where} has no volume {disk.volume}.", volume=disk.volume)
    volumes.check_fits(pool.pool, disk.size_bytes, pool.available_bytes(disk.size_bytes))
    made = volumes.create_empty(pool, disk)
    created.append(made)
    return made


def _undo(domain: Domain, volume: str, created: list[Volume]) -> None:
    """Removes what was created, unless the domain has it: libvirt would delete it all the same."""
    try:
        used = any(volume in volume_names(tree) for tree in (tree_of(domain), definition_of(domain)))
    except InnkeeperError as error:
        log.warning("volume_not_deleted", volume=volume, reason=str(error))
        return
    if not used:
        volumes.undo(created)


def detach(client: Client, guest: GuestRef, pool_id: str, volume: str, *, closing: threading.Event) -> PowerState:
    """Returns the power state. Raises as the driver contract says. `closing` interrupts the wait for the guest.

    A guest that kept the disk may still give it back later, such as when its system starts: it then has the disk again
    after its next start.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    paths, place = pool_paths(client), (pool_id, volume)
    live = live_of(domain)
    for tree in (live, definition_of(domain)):
        if tree is not None and disk_at(tree, paths, place) is None:
            check_no_overlay(domain, tree, volume)
            _check_no_other_file(domain, tree, paths, place)
    check_next_start_is_boot(domain, "disks")
    unplugged = unplug(
        domain,
        lambda tree: disk_at(tree, paths, place),
        _shown_disk(live, paths, place),
        "Unmount it in the guest and try again, or shut the guest down first.",
        closing,
    )
    definition = definition_of(domain)
    disk = disk_at(definition, paths, place)
    if disk is not None:
        remove_disk(definition, disk)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
    if disk is not None or unplugged:
        log.info("disk_detached", guest=domain.name, volume=volume, pool=pool_id)
    return power_of(domain.state())


def _check_no_other_file(domain: Domain, tree: Element, paths: PoolPaths, place: _Place) -> None:
    """Raises NotFound if the domain has a file of the volume's name that is no volume, but may be what is meant.

    It is in a folder inside the storage pool, or in none that libvirt knows.
    """
    pool_id, volume = place
    for path, found in disks_named(tree, paths, volume):
        if found in (None, (pool_id, None)):
            raise NotFound(
                f"{domain.name} has {path}, which is not the volume {volume} of its storage pool: nothing was "
                "detached. If that disk is meant, detach it on the host (virsh detach-disk), and refresh the host.",
                name=domain.name,
                volume=volume,
            )


def check_no_overlay(domain: Domain, tree: Element, volume: str) -> None:
    """Raises WrongState if a disk is a layer on top of the volume, as after an external snapshot."""
    overlay = overlay_on(tree, volume)
    if overlay is not None:
        raise WrongState(
            f"{domain.name} has a snapshot of the disk {volume}: it uses {overlay}, which is based on it. Merge them "
            "on the host: virsh blockcommit --active --pivot.",
            name=domain.name,
        )


def _shown_disk(live: Element | None, paths: PoolPaths, place: tuple[str, str]) -> str:
    """Returns the disk as users name it, by the device that the guest has, with its volume."""
    disk = None if live is None else disk_at(live, paths, place)
    target = None if disk is None else disk.find("target")
    device = "" if target is None else target.get("dev", "")
    return f"the disk {device} ({place[1]})" if device else f"the disk {place[1]}"
