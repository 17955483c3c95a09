"""Finds and removes volumes that are named after a marker and that no guest uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import structlog

from common.disks.volume_names import marker_of_artifact
from common.errors import NotFound
from common.hosts.discovery import OrphanedVolume, VolumeRef
from common.values import OwnershipMarker
from rackd.drivers.driver_errors import reject_volumes_in_use
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.storage_objects import Pool
from rackd.drivers.libvirt.definitions.domain_config import DomainConfig
from rackd.drivers.libvirt.definitions.volume_references import names_of
from rackd.drivers.libvirt.guests.disks import live_copies
from rackd.drivers.libvirt.guests.disks.dependents import dependents_of
from rackd.drivers.libvirt.guests.disks.volume_users import volume_users
from rackd.drivers.libvirt.guests.disks.volumes import delete_from

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def find(listed: Mapping[str, Iterable[str]], configs: Iterable[DomainConfig]) -> tuple[OrphanedVolume, ...]:
    """`listed` has volume names by storage pool id, `configs` the configuration of every guest."""
    used = names_of(one for config in configs for one in config.references)
    found = []
    for pool_id, names in listed.items():
        for name in names:
            marker = marker_of_artifact(name)
            if marker is not None and name not in used:
                found.append(OrphanedVolume(pool_id=pool_id, name=name, marker=marker))
    return tuple(sorted(found, key=lambda one: (one.pool_id, one.name)))


def remove(client: Client, marker: OwnershipMarker | None, volumes: Iterable[VolumeRef]) -> None:
    """Removes those of `volumes` that are named after `marker` (None: all). Idempotent.

    Raises WrongState, after removing the others, for volumes that a guest uses or another volume depends on. Reads the
    XML of every domain and volume: only the XML shows what a guest that is off uses, and the base of an image.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for volume in volumes:
        if marker is None or marker_of_artifact(volume.name) == marker:
            wanted[volume.pool_id].add(volume.name)
    if not wanted:
        return
    live_copies.abandon(
        client, {name for names in wanted.values() for name in names if live_copies.may_be_copy(name, marker)}
    )
    guests = volume_users(client)
    used: dict[tuple[str, str], Collection[str]] = {}
    for pool_id, names in sorted(wanted.items()):
        try:
            pool = client.pool(pool_id)
        except NotFound as error:
            log.info("storage_pool_not_found", pool=pool_id, reason=str(error))
            continue
        pool.refresh()
        dependents = dependents_of(client, pool, names)
        for name in sorted(names):
            users = guests.of_volume(pool, name) | dependents[name]
            if users:
                used[pool.name, name] = users
            else:
                _remove(pool, name)
    reject_volumes_in_use(used)


def _remove(pool: Pool, name: str) -> None:
    if delete_from(pool, name):
        log.info("orphaned_volume_deleted", volume=name, pool=pool.name)
