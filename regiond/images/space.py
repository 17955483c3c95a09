"""The space that images may take, and the part of it that is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from attrs import frozen

from common.errors import OutOfCapacity
from common.units import file_size
from regiond.db.pool import Db
from regiond.images import upload_store
from regiond.images.content import ContentFolder
from regiond.images.file_threads import FileThreads

_GIB = 2**30


@frozen(kw_only=True)
class StoreLimits:
    """The limits of one image and of all images in the folder, and the space that stays free on its disk."""

    image_bytes: int = 20 * _GIB
    total_bytes: int = 100 * _GIB
    reserve_bytes: int = 2 * _GIB


@frozen(kw_only=True)
class SpaceLimit:
    """The limit of the size of a file. `reason` names the size and what sets it, for a message."""

    size_bytes: int
    reason: str


@frozen
class StoreSpace:
    """The space in this region's folder. `promised_to_others`: what something else on its disk does not take yet."""

    folder: ContentFolder
    threads: FileThreads
    limits: StoreLimits
    promised_to_others: Callable[[Db], Awaitable[int]]

    async def require_room(self, db: Db, size_bytes: int) -> None:
        """Raises OutOfCapacity, in numbers, if one more file of this size does not fit."""
        used = await upload_store.usage(db, self.folder.store_id)
        if used.bytes + size_bytes > self.limits.total_bytes:
            raise OutOfCapacity(
                f"Images take {file_size(used.bytes)} of {file_size(self.limits.total_bytes)} (the region's setting "
                f"max_images_gib); {file_size(size_bytes)} more do not fit. Delete images that are not needed any more."
            )
        await self.require_free(size_bytes + used.missing_bytes + await self.promised_to_others(db))

    async def require_free(self, needed_bytes: int) -> None:
        """Raises OutOfCapacity if the disk would have less than the reserve afterwards."""
        await self.threads.run(partial(self.check_free, needed_bytes))

    def check_free(self, needed_bytes: int) -> None:
        """As `require_free`, but blocks."""
        self.folder.require_free(needed_bytes, reserve_bytes=self.limits.reserve_bytes)

    async def limit(self, db: Db, own_bytes: int) -> SpaceLimit:
        """Returns the limit for a file of unknown size. It replaces `own_bytes`, which are counted already."""
        used = await upload_store.usage(db, self.folder.store_id)
        free = await self.threads.run(self.folder.free_bytes)
        total, largest = self.limits.total_bytes, self.limits.image_bytes
        left = max(total - used.bytes + own_bytes, 0)
        promised = used.missing_bytes + await self.promised_to_others(db)
        space = max(free - promised - self.limits.reserve_bytes, 0)
        return min(
            SpaceLimit(size_bytes=largest, reason=f"{file_size(largest)} (the region's setting max_image_gib)"),
            SpaceLimit(
                size_bytes=left,
                reason=f"the {file_size(left)} that images may still take of {file_size(total)} (the region's setting "
                "max_images_gib)",
            ),
            SpaceLimit(size_bytes=space, reason=f"the {file_size(space)} that the region's disk for images has left"),
            key=lambda one: one.size_bytes,
        )
