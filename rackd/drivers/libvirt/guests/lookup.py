"""Finds a machine's domain by UUID and ownership marker, and reads it as a Guest."""

from __future__ import annotations

from pathlib import PurePosixPath

from attrs import evolve

from common.values import Guest, GuestRef, OwnershipMarker
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.boot_order import is_disk
from rackd.drivers.libvirt.definitions.disk_xml import path_of, pool_volume_of
from rackd.drivers.libvirt.definitions.domain_config import pool_volumes
from rackd.drivers.libvirt.definitions.metadata import MARKER_NAMESPACE, marker_in
from rackd.drivers.libvirt.inventory.guests import autostart_of, guest_of_domain
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.inventory.saved_guests import with_saved_size
from rackd.drivers.libvirt.inventory.volume_disks import VolumeDisks
from rackd.drivers.libvirt.kept_xml import parse_definition
from rackd.drivers.libvirt.xml import Element, parse


def marked_domain(client: Client, guest: GuestRef) -> Domain | None:
    """Returns the domain whose metadata holds `guest.marker`."""
    domain = client.domain(str(guest.marker.machine_id))
    if domain is None or marker_in(tree_of(domain)) != guest.marker:
        return None
    return domain


def tree_of(domain: Domain) -> Element:
    return parse(domain.xml(), f"the guest {domain.name}")


def definition_of(domain: Domain) -> Element:
    """Returns the persistent XML with its passwords, to define the domain again as others wrote it."""
    return parse_definition(domain.whole_definition(), f"the guest {domain.name}", MARKER_NAMESPACE)


def place_of(disk: Element, paths: PoolPaths) -> tuple[str, str | None] | None:
    """Returns (pool id, volume) of a disk in a storage pool; no volume for a file in a folder inside the pool."""
    volume = pool_volume_of(disk)
    path = path_of(disk) if volume is None else paths.path_in(*volume)
    return paths.volume_at(path) if path else None


def disk_at(domain: Element, paths: PoolPaths, place: tuple[str, str]) -> Element | None:
    """Returns the disk with this (pool id, volume)."""
    disks = (disk for disk in domain.iterfind("devices/disk") if is_disk(disk))
    return next((disk for disk in disks if place_of(disk, paths) == place), None)


def disks_named(domain: Element, paths: PoolPaths, name: str) -> list[tuple[str, tuple[str, str | None] | None]]:
    """Returns path and place (as `place_of`) of each disk whose file or device has this name, in whatever folder."""
    disks = (disk for disk in domain.iterfind("devices/disk") if is_disk(disk))
    return [(path_of(disk), place_of(disk, paths)) for disk in disks if PurePosixPath(path_of(disk)).name == name]


def markers_of(domain: Domain) -> set[OwnershipMarker | None]:
    """Returns the markers in the persistent definition and in the running domain."""
    what = f"the guest {domain.name}"
    return {marker_in(parse(xml, what)) for xml in (domain.xml(), domain.definition())}


def read_guest(client: Client, domain: Domain) -> Guest:
    paths, xml = pool_paths(client), domain.xml()
    volumes = pool_volumes(parse(xml, f"the guest {domain.name}"))
    found = guest_of_domain(xml, VolumeDisks(client, paths).stats(domain.stats(), volumes), paths)
    if domain.has_saved_memory():
        found = with_saved_size(found, domain)
    return evolve(found, autostart=autostart_of(flag=domain.autostart()))


def pool_paths(client: Client) -> PoolPaths:
    """Returns the paths of active and inactive pools, as discovery has them."""
    return PoolPaths.of(parse(xml, "a storage pool") for xml in (*client.pools(), *client.inactive_pools()))
