"""Finds the volumes of a storage pool that depend on others. Believes no content that a guest has written.

libvirt takes the base of an image from the image itself, whatever its format is said to be. Every guest writes its own
raw disk, and its serial log, so it can begin them like an image that is based on another machine's disk.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Set

from attrs import frozen

from common.errors import NotFound
from common.volume_names import marker_of_artifact
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Pool
from rackd.drivers.libvirt.xml import Element, attribute, parse, text_at

_Source = str | tuple[str, str]  # a path, or names of a storage pool and a volume


@frozen(kw_only=True)
class _Volume:
    name: str
    path: str
    base: str  # the path on which it depends, "" if on none


def dependents_of(client: Client, pool: Pool) -> defaultdict[str, set[str]]:
    """Returns for each volume name the volumes of the pool (overlay images, snapshots) that depend on it.

    Reads the XML of every volume, and of every guest if a volume that is not named after a marker has a base.
    """
    volumes = [_volume(name, xml) for name, xml in pool.volume_definitions()]
    by_path = {volume.path: volume.name for volume in volumes if volume.path}
    based = [volume for volume in volumes if volume.base in by_path]
    formats = _formats(client) if based else {}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for volume in based:
        if formats.get(volume.path, set()) | formats.get((pool.name, volume.name), set()) != {"raw"}:
            found[by_path[volume.base]].add(volume.name)
    return found


def _volume(name: str, xml: str) -> _Volume:
    tree = parse(xml, f"the volume {name}")
    # The base of a logical volume is LVM's own record.
    is_raw = tree.get("type") != "block" and marker_of_artifact(name) is not None
    return _Volume(
        name=name,
        path=_normalised(text_at(tree, "target/path")),
        base="" if is_raw else _normalised(text_at(tree, "backingStore/path")),
    )


def _normalised(path: str) -> str:
    return posixpath.normpath(path) if path else ""


def _formats(client: Client) -> dict[_Source, Set[str]]:
    """Returns the formats in which guests use each disk, in their live or persistent configuration."""
    found: defaultdict[_Source, set[str]] = defaultdict(set)
    for domain in client.domains():
        try:
            configs = {domain.xml(), domain.definition()}
        except NotFound:
            continue  # deleted since it was listed
        for xml in configs:
            for source, name in _disk_formats(parse(xml, f"the guest {domain.name}")):
                found[source].add(name)
    return dict(found)


def _disk_formats(tree: Element) -> Iterator[tuple[_Source, str]]:
    for disk in tree.iterfind("devices/disk"):
        name = attribute(disk, "driver", "type", "raw")  # libvirt never guesses it
        path = attribute(disk, "source", "file") or attribute(disk, "source", "dev")
        volume = attribute(disk, "source", "volume")
        if path:
            yield _normalised(path), name
        elif volume:
            yield (attribute(disk, "source", "pool"), volume), name
