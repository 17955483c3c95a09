"""Finds the volumes that depend on those of a storage pool. Believes no content that a guest has written.

libvirt takes the base of an image from the image itself, whatever its format is said to be. Every guest writes its own
raw disk, and its serial log, so it can begin them like an image that is based on another machine's disk.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set

import structlog
from attrs import frozen

from common.disks.volume_names import marker_of_artifact
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, Unsupported
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.storage_objects import Pool
from rackd.drivers.libvirt.definitions.disk_xml import normalised
from rackd.drivers.libvirt.xml import Element, attribute, parse, text_at

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_Source = str | tuple[str, str]  # a path, or names of a storage pool and a volume


@frozen(kw_only=True)
class _Volume:
    pool: str
    name: str
    path: str
    base: str  # the name of the volume on which it depends, "" if on none


def dependents_of(client: Client, pool: Pool, names: Collection[str]) -> defaultdict[str, set[str]]:
    """Returns for each of the volumes `names` the volumes (overlay images, snapshots) that depend on it, in any pool.

    Reads the XML of every volume, and of every guest if one of `names` is the base of a volume that is not named after
    a marker. If a guest cannot be read, every volume that has such a base depends on it. A base is recognized by its
    name at any path, because the pool's own path can be a symbolic link.
    """
    based = [volume for volume in _volumes(client, pool) if volume.base in names]
    formats = _formats(client) if based else {}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for volume in based:
        if formats is None or _used_as(formats, volume) != {"raw"}:
            found[volume.base].add(volume.name)
    return found


def _volumes(client: Client, pool: Pool) -> Iterator[_Volume]:
    """Yields the volumes of all pools. Another pool that cannot be read has no dependents, as one that is inactive."""
    yield from (_volume(pool, name, xml) for name, xml in pool.volume_definitions())
    for other in client.active_pools():
        if other.name != pool.name:
            try:
                yield from (_volume(other, name, xml) for name, xml in other.volume_definitions())
            except (DriverFailed, NotFound, Unsupported) as error:
                log.warning("volumes_not_listed", pool=other.name, reason=str(error))


def _used_as(formats: Mapping[_Source, Set[str]], volume: _Volume) -> Set[str]:
    return formats.get(volume.path, set()) | formats.get((volume.pool, volume.name), set())


def _volume(pool: Pool, name: str, xml: str) -> _Volume:
    tree = parse(xml, f"the volume {name}")
    # The base of a logical volume is LVM's own record.
    is_raw = tree.get("type") != "block" and marker_of_artifact(name) is not None
    return _Volume(
        pool=pool.name,
        name=name,
        path=normalised(text_at(tree, "target/path")),
        base="" if is_raw else posixpath.basename(text_at(tree, "backingStore/path")),
    )


def _formats(client: Client) -> dict[_Source, Set[str]] | None:
    """Returns the formats in which guests use each disk, in their live or persistent configuration.

    None if a guest cannot be read: it may use any disk. Raises HostUnreachable.
    """
    found: defaultdict[_Source, set[str]] = defaultdict(set)
    for domain in client.domains():
        try:
            trees = [parse(xml, f"the guest {domain.name}") for xml in {domain.xml(), domain.definition()}]
        except NotFound:
            continue  # deleted since it was listed
        except HostUnreachable:
            raise
        except InnkeeperError as error:
            log.warning("guest_not_read", guest=domain.name, reason=str(error))
            return None
        for tree in trees:
            for source, name in _disk_formats(tree):
                found[source].add(name)
    return dict(found)


def _disk_formats(tree: Element) -> Iterator[tuple[_Source, str]]:
    for disk in tree.iterfind("devices/disk"):
        name = attribute(disk, "driver", "type", "raw")  # libvirt never guesses it
        path = attribute(disk, "source", "file") or attribute(disk, "source", "dev")
        volume = attribute(disk, "source", "volume")
        if path:
            yield normalised(path), name
        elif volume:
            yield (attribute(disk, "source", "pool"), volume), name
