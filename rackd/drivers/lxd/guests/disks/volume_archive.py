"""Makes the backup of a custom volume that LXD imports, of a disk in a qcow2 image.

It is made while it is sent, without zeros. The archive has two members: what LXD is to know of the volume, and its
content as a sparse file in the form of GNU tar (version 1.0: a map of the places with data, and these one after the
other).
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator

from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import DiskSpec
from rackd.drivers.contract import ImageContent
from rackd.drivers.lxd.guests.disks.qcow2_extents import Extent, Qcow2Extents

_IMAGE = "backup/volume.img"
_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENTS = 8192  # LXD keeps the map in memory


def archive_of(disk: DiskSpec, pool_driver: str, image: ImageRef, content: ImageContent) -> Iterator[bytes]:
    """Yields the archive in parts. Raises DriverFailed if the image is damaged, and what `content` raises."""
    source = Qcow2Extents.of(image, content)
    extents = source.joined(_MAX_EXTENTS)
    about = _index(disk, pool_driver)
    yield _member("backup/index.yaml", len(about), {}) + _padded(about)
    places = _padded(_map(extents))
    size = len(places) + sum(extent.length for extent in extents)
    sparse = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": _IMAGE,
        "GNU.sparse.realsize": str(disk.size_bytes),
    }  # fmt: skip
    yield _member(f"backup/GNUSparseFile.0/{_IMAGE.rpartition('/')[2]}", size, sparse) + places
    for extent in extents:
        yield from source.content_of(extent)
    yield bytes(-size % _BLOCK + 2 * _BLOCK)


def _index(disk: DiskSpec, pool_driver: str) -> bytes:
    """Returns JSON, which is YAML too. LXD names the volume, its storage pool and its project by the request."""
    volume = {
        "name": disk.volume, "description": "", "type": "custom", "content_type": "block",
        "config": {"size": str(disk.size_bytes)},
    }  # fmt: skip
    about = {
        "name": disk.volume, "backend": pool_driver, "pool": disk.pool_id, "type": "custom", "optimized": False,
        "optimized_header": False, "config": {"volume": volume},
    }  # fmt: skip
    return json.dumps(about).encode()


def _map(extents: list[Extent]) -> bytes:
    numbers = [len(extents), *(number for extent in extents for number in (extent.start, extent.length))]
    return "".join(f"{number}\n" for number in numbers).encode()


def _member(name: str, size: int, records: dict[str, str]) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.pax_headers = size, 0o600, records
    return header.tobuf(tarfile.PAX_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
