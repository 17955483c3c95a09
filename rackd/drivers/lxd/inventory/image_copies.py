"""Finds the copies of images in LXD's image store and in storage pools. Pure.

In a pool are images that LXD has unpacked, and ISO images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from common.hosts.discovery import ImageCopy
from rackd.drivers.lxd.inventory.iso_volumes import is_complete, sha256_of_name
from rackd.drivers.lxd.inventory.ownership import VM, Json
from rackd.drivers.lxd.inventory.volume_index import Volume

SHA256_PROPERTY = "innkeeper.sha256"  # LXD's own fingerprint covers its metadata file too
DISK_BYTES_PROPERTY = "innkeeper.disk_bytes"
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IMAGE_VOLUME = "image"  # the type of a volume that LXD clones for each instance


def copies_of(images: Iterable[Json], volumes: Iterable[Volume], member: str | None) -> Iterator[ImageCopy]:
    """Yields one for the image store, and one for each storage pool of this server that has the image unpacked.

    That volume counts with the size of its disk, which is the most that it takes.
    """
    unpacked: dict[str, set[str]] = {}
    for volume in volumes:
        if volume.type == _IMAGE_VOLUME and member in {None, volume.location}:
            unpacked.setdefault(volume.name, set()).add(volume.pool)
    for one in images:
        properties = one.get("properties") or {}
        sha256 = str(properties.get(SHA256_PROPERTY))
        if one.get("type") != VM or not _SHA256.fullmatch(sha256):
            continue
        yield ImageCopy(sha256=sha256, size_bytes=int(one.get("size") or 0))
        text = str(properties.get(DISK_BYTES_PROPERTY))
        disk_bytes = int(text) if text.isdecimal() else 0
        for pool in sorted(unpacked.get(str(one["fingerprint"]), ())) if disk_bytes else ():
            yield ImageCopy(sha256=sha256, pool_id=pool, size_bytes=disk_bytes)


def iso_copies_of(volumes: Iterable[Volume], member: str | None) -> Iterator[ImageCopy]:
    """Yields one for each ISO image and storage pool of this server. Projects that keep volumes of their own may have
    one each: together they are one copy, with the size of all.
    """
    found: dict[tuple[str, str], list[Volume]] = {}
    for volume in volumes:
        sha256 = sha256_of_iso_volume(volume)
        if sha256 and volume.is_on(member):
            found.setdefault((sha256, volume.pool), []).append(volume)
    for (sha256, pool), copies in sorted(found.items()):
        yield ImageCopy(
            sha256=sha256,
            pool_id=pool,
            size_bytes=sum(volume.size_bytes for volume in copies),
            complete=any(map(is_complete, copies)),
        )


def sha256_of_iso_volume(volume: Volume) -> str:
    """Returns the SHA-256 of the ISO image that the volume was made for; empty for any other volume."""
    return sha256_of_name(volume.name) if volume.type == "custom" and not volume.block else ""
