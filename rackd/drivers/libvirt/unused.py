"""Volumes that are named after a mark and that no guest has: told in listings, and removed one by one.

Such a name is given to one volume ever. So a guest that has a volume of that name, wherever it is, has it: that holds
also for links, and for a storage pool whose folder is another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import structlog

from common.discovery import UnusedVolume, VolumeRef
from common.errors import NotFound
from common.marks import mark_of_made
from common.values import Mark
from rackd.drivers.libvirt import storage
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.defined import Defined, volume_names
from rackd.drivers.libvirt.handles import Pool
from rackd.drivers.libvirt.trees import parse
from rackd.drivers.refusals import refuse_used

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def unused_volumes(listed: Mapping[str, Iterable[str]], definitions: Iterable[Defined]) -> tuple[UnusedVolume, ...]:
    """`listed`: names of volumes by storage pool; `definitions`: those of all guests. Pure."""
    used = {name for definition in definitions for name in definition.volume_names}
    found = []
    for pool_id, names in listed.items():
        for name in names:
            mark = mark_of_made(name)
            if mark is not None and name not in used:
                found.append(UnusedVolume(pool_id=pool_id, name=name, mark=mark))
    return tuple(sorted(found, key=lambda one: (one.pool_id, one.name)))


def remove_unused(client: Client, mark: Mark, volumes: Iterable[VolumeRef]) -> None:
    """Remove those of `volumes` that are named after `mark`. WrongState for those that a guest or volume is made of.

    All definitions are read for it, and those of all volumes beside them: what a guest that is off has is told nowhere
    else, and an image that was made on one of ours (a snapshot) does not show in the guest.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for volume in volumes:
        if mark_of_made(volume.name) == mark:
            wanted[volume.pool_id].add(volume.name)
    if not wanted:
        return
    guests = _users(client)
    used: dict[tuple[str, str], Collection[str]] = {}
    for pool_id, names in sorted(wanted.items()):
        try:
            pool = client.pool(pool_id)
        except NotFound as error:
            log.info("storage_pool_was_gone", pool=pool_id, reason=str(error))
            continue
        pool.refresh()
        made_on = storage.made_on(pool)
        for name in sorted(names):
            users = guests[name] | made_on[name]
            if users:
                used[pool.name, name] = users
            else:
                _remove(pool, name)
    refuse_used(used)


def _users(client: Client) -> defaultdict[str, set[str]]:
    """Which guests have a volume of that name, as they run or as they will be started."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for domain in client.domains():
        try:
            definitions = {domain.xml(), domain.definition()}
        except NotFound:
            continue  # gone since it was listed
        for xml in definitions:
            for name in volume_names(parse(xml, f"the guest {domain.name}")):
                found[name].add(domain.name)
    return found


def _remove(pool: Pool, name: str) -> None:
    volume = pool.volume(name)
    if volume is None:
        return
    try:
        volume.delete()
    except NotFound:
        log.info("volume_was_gone", volume=name, pool=pool.name)
    else:
        log.info("unused_volume_removed", volume=name, pool=pool.name)
