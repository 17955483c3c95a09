"""Attaches volumes to a domain and detaches them, also while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from xml.etree import ElementTree as ET

import structlog

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, Unsupported, WrongState
from common.guest_spec import DiskSpec
from common.values import GuestRef, PowerState
from common.volume_names import marker_of_volume
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain, Volume
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk, further_disk, remove_disk
from rackd.drivers.libvirt.guests import volumes
from rackd.drivers.libvirt.guests.lookup import disks_by_place, marked_domain, pool_paths, tree_of
from rackd.drivers.libvirt.guests.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.guests.unplugging import unplug
from rackd.drivers.libvirt.guests.volume_users import check_unused
from rackd.drivers.libvirt.inventory.guests import PoolPaths, power_of
from rackd.drivers.libvirt.xml import Element, attribute, parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def attach(client: Client, guest: GuestRef, disk: DiskSpec, *, create: bool) -> PowerState:
    """Returns the power state. Raises as the driver contract says, and Unsupported for a volume that is not raw.

    A running domain gets the disk in its live and its persistent XML, or in neither.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    paths, place = pool_paths(client), (disk.pool_id, disk.volume)
    definition = _definition(domain)
    trees = [definition, *([tree_of(domain)] if domain.is_active() else [])]
    lacking = [tree for tree in trees if place not in disks_by_place(tree, paths)]
    if not lacking:
        return power_of(domain.state())
    created: list[Volume] = []
    try:
        prepared = _find_or_make(client, domain, disk, created, create=create, has_it=len(lacking) < len(trees))
        device = further_disk(prepared, trees)
        if lacking == [definition]:
            _devices(definition).append(device)
            client.define(ET.tostring(definition, encoding="unicode"), domain.name)
        else:
            _plug(domain, device, disk.volume, persistent=definition in lacking)
    except HostUnreachable:
        raise  # libvirt may still attach the volume, which the next attempt uses
    except BaseException:
        _undo(domain, created, paths, place)
        raise
    log.info("disk_attached", guest=domain.name, device=attribute(device, "target", "dev"), volume=disk.volume)
    return power_of(domain.state())


def _find_or_make(
    client: Client, domain: Domain, disk: DiskSpec, created: list[Volume], *, create: bool, has_it: bool
) -> PreparedDisk:
    """Appends a new volume to `created`. With `has_it` the domain has the disk already, live or persistently."""
    pool = guest_pool(client, disk.pool_id)
    volume = pool.pool.volume(disk.volume)
    if volume is None and not create:
        pool.pool.refresh()  # shows the volumes that something else than libvirt has made
        volume = pool.pool.volume(disk.volume)
    if volume is not None:
        check_unused(client, pool, volume, except_by=domain.uuid if has_it else "")
        _check_size_and_format(pool, volume, disk, create=create)
    elif create:
        volumes.check_space(pool, disk.size_bytes)
        volume = volumes.create_empty(pool, disk)
        created.append(volume)
    else:
        raise NotFound(f"The storage pool {pool.name} has no volume {disk.volume}.", volume=disk.volume)
    return PreparedDisk(spec=disk, path=volume.path(), block=pool.has_block_devices)


def _check_size_and_format(pool: GuestPool, volume: Volume, disk: DiskSpec, *, create: bool) -> None:
    where = f"The volume {disk.volume} in the storage pool {pool.name}"
    if create and not volumes.is_size_of(volume.capacity_bytes(), disk):
        raise WrongState(
            f"{where} exists already, with {volume.capacity_bytes()} bytes; the new disk would have {disk.size_bytes}.",
            volume=disk.volume,
        )
    # What libvirt reads at the start of a volume that is named after a marker is what its guest wrote: it is raw.
    if marker_of_volume(disk.volume) is None and not pool.has_block_devices:
        found = attribute(parse(volume.xml(), f"the volume {disk.volume}"), "target/format", "type", "raw")
        if found != "raw":
            raise Unsupported(f"{where} has the format {found}. Innkeeper attaches raw volumes only.")


def _plug(domain: Domain, device: Element, volume: str, *, persistent: bool) -> None:
    try:
        domain.attach_live(ET.tostring(device, encoding="unicode"), persistent=persistent)
    except (DriverFailed, Unsupported) as error:
        raise WrongState(
            f"{volume} cannot be attached while {domain.name} runs: {error} It can be attached while {domain.name} is "
            "off.",
            name=domain.name,
        ) from error


def _undo(domain: Domain, created: Iterable[Volume], paths: PoolPaths, place: tuple[str, str]) -> None:
    """Deletes a new volume, unless the domain has it although the call failed, or cannot be read."""
    try:
        has_it = any(place in disks_by_place(tree, paths) for tree in (tree_of(domain), _definition(domain)))
    except InnkeeperError as error:
        log.warning("new_volume_not_deleted", guest=domain.name, volume=place[1], reason=str(error))
        return
    if not has_it:
        volumes.undo(created)


def detach(client: Client, guest: GuestRef, pool_id: str, volume: str, *, closing: threading.Event) -> PowerState:
    """Returns the power state. Raises as the driver contract says. `closing` interrupts the wait for the guest."""
    domain = required_guest(marked_domain(client, guest), guest)
    paths, place = pool_paths(client), (pool_id, volume)
    live = disks_by_place(tree_of(domain), paths).get(place) if domain.is_active() else None
    if live is not None:
        unplug(
            domain,
            live,
            lambda tree: place in disks_by_place(tree, paths),
            what=f"the disk {volume}",
            help_text=f"Unmount the disk in {domain.name} and try again, or detach it while {domain.name} is off.",
            closing=closing,
        )
    definition = _definition(domain)
    persistent = disks_by_place(definition, paths).get(place)
    if persistent is not None:
        remove_disk(definition, persistent)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
    if live is not None or persistent is not None:
        log.info("disk_detached", guest=domain.name, volume=volume, pool=pool_id)
    return power_of(domain.state())


def _definition(domain: Domain) -> Element:
    return parse(domain.whole_definition(), f"the guest {domain.name}")


def _devices(definition: Element) -> Element:
    found = definition.find("devices")
    return ET.SubElement(definition, "devices") if found is None else found
