"""Finds the guests and the volumes that use a volume, before a guest gets it."""

from __future__ import annotations

from common.errors import NotFound, WrongState
from common.volume_names import marker_of_volume
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Volume
from rackd.drivers.libvirt.definitions.domain_config import image_paths, volume_names
from rackd.drivers.libvirt.guests.dependents import dependents_of
from rackd.drivers.libvirt.guests.pools import GuestPool
from rackd.drivers.libvirt.xml import parse


def check_unused(client: Client, pool: GuestPool, volume: Volume, *, except_by: str) -> None:
    """Raises WrongState, naming them, if guests use the volume, also as the base of a disk, or volumes depend on it.

    The domain with the UUID `except_by` may use it. Reads the XML of every domain, because statistics show neither the
    base of a disk nor what a running guest has at its next start, and of every volume in the pool.
    """
    users = _guests_with(client, volume, except_by)
    where = f"The volume {volume.name} in the storage pool {pool.name}"
    if users:
        raise WrongState(f"{where} is used by {', '.join(users)}.", volume=volume.name)
    dependents = dependents_of(client, pool.pool, [volume.name])[volume.name]
    if dependents:
        raise WrongState(f"{where} is the base of {', '.join(sorted(dependents))}.", volume=volume.name)


def _guests_with(client: Client, volume: Volume, except_by: str) -> list[str]:
    """By name if the volume is named after a marker: no other has that name, and its path can be a symbolic link."""
    path, is_ours = volume.path(), marker_of_volume(volume.name) is not None
    found = set()
    for domain in client.domains():
        if domain.uuid == except_by:
            continue
        try:
            trees = [parse(xml, f"the guest {domain.name}") for xml in {domain.xml(), domain.definition()}]
        except NotFound:
            continue  # deleted since it was listed
        if any(volume.name in volume_names(tree) if is_ours else path in image_paths(tree) for tree in trees):
            found.add(domain.name)
    return sorted(found)
