"""Finds the copies of images in storage pools, and what they take there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import structlog

from common.errors import DriverFailed, NotFound
from common.hosts.discovery import ImageCopy
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.image_names import complete_uploads, stored_images

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def added(used_bytes: Mapping[str, int], copies: Iterable[ImageCopy]) -> dict[str, int]:
    """Returns what is used by storage pool id, with the copies."""
    found = dict(used_bytes)
    for copy in copies:
        found[copy.pool_id] = found.get(copy.pool_id, 0) + copy.size_bytes
    return found


class ImageInventory:
    """Reads the size of a complete copy once: each upload has names of its own, and nothing writes to it later."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, str], int] = {}

    def find(self, client: Client, listed: Mapping[str, Collection[str]]) -> tuple[ImageCopy, ...]:
        """`listed` has the names of the volumes by storage pool id. Several uploads of an image are one copy."""
        found, complete = [], set()
        for pool_id, names in sorted(listed.items()):
            for sha256, uploads in sorted(stored_images(names).items()):
                finished = {upload.data_volume for upload in complete_uploads(names, sha256)}
                complete |= {(pool_id, name) for name in finished}
                volumes = {upload.data_volume for upload in uploads}
                size_bytes = sum(self._size(client, pool_id, name, final=name in finished) for name in sorted(volumes))
                found.append(ImageCopy(sha256=sha256, pool_id=pool_id, size_bytes=size_bytes, complete=bool(finished)))
        self._sizes = {key: size for key, size in self._sizes.items() if key in complete}
        return tuple(found)

    def _size(self, client: Client, pool_id: str, name: str, *, final: bool) -> int:
        known = self._sizes.get((pool_id, name))
        if known is not None:
            return known
        try:
            volume = client.pool(pool_id).volume(name)
            size = 0 if volume is None else volume.allocation_bytes()
        except (NotFound, DriverFailed) as error:
            log.info("image_size_not_read", volume=name, reason=str(error))
            return 0
        if final:
            self._sizes[pool_id, name] = size
        return size
