"""Downloads images by URL: in the background, continued after cuts and restarts, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from attrs import define, field, frozen

from common.errors import Busy, OutOfCapacity
from common.process.periodic import NextRoundIn
from common.units import file_size
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.images import store, upload_store
from regiond.images.content import ContentFolder
from regiond.images.download_rules import DownloadRules
from regiond.images.downloads import store as download_store
from regiond.images.downloads.http_download import HttpFile, HttpSource, RangeRefused, SourceFailed
from regiond.images.downloads.source_calls import run_abortable
from regiond.images.file_threads import FileThreads
from regiond.images.model import Image, ImageState
from regiond.images.space import StoreSpace
from regiond.process.file_folder import UploadFile, locked

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)
T = TypeVar("T")

MAX_THREADS = 6
ROUND_EVERY_S = 60.0
PART_BYTES = 8 * 2**20
PART_S = 1.0  # a part may be shorter, so that the progress is shown
PAUSE_S = 0.2  # a part ends after this time without data
MAX_REMEMBERED = 1000
CALL_S = 180.0  # of one request or part: a server may send its headers slowly, one after the other


@frozen
class PublicNames:
    """The downloads of this process that wait for another attempt, and whose server was on the internet; bounded."""

    _downloads: dict[tuple[int, str | None], None] = field(factory=dict, init=False)

    def __contains__(self, image: Image) -> bool:
        return (image.id, image.url) in self._downloads

    def add(self, image: Image) -> None:
        self._downloads[image.id, image.url] = None
        if len(self._downloads) > MAX_REMEMBERED:
            del self._downloads[next(iter(self._downloads))]

    def forget(self, image: Image) -> None:
        self._downloads.pop((image.id, image.url), None)


@frozen(kw_only=True)
class ImageDownloads:
    """Downloads the images of the folder; regions that share it never download the same image at once.

    `threads` are for downloads only.
    """

    database: Database
    folder: ContentFolder
    threads: FileThreads
    space: StoreSpace
    rules: DownloadRules
    wake_checks: Callable[[], None]
    public: PublicNames = field(factory=PublicNames, init=False)

    async def run(self) -> NextRoundIn:
        """Downloads the images that are due, one after the other. Idempotent. Several may run at once."""
        while await self._next():
            pass
        async with self.database.connection() as db:
            due_s = await download_store.seconds_until_due(db, self.folder.store_id)
        return NextRoundIn(min(max(due_s or ROUND_EVERY_S, 1.0), ROUND_EVERY_S))

    async def _next(self) -> bool:
        """Runs one download; returns False if there is none that no other task runs."""
        async with self.database.connection() as db:
            waiting = await download_store.due(db, self.folder.store_id)
        for one in waiting:
            try:
                async with locked(self.threads, partial(self.folder.lock, one.id)) as file:
                    async with self.database.connection() as db:
                        image = await store.read(db, one.id)
                    if image is not None and image.state is ImageState.DOWNLOADING:
                        await self._download(image, file)
                        return True
                    if image is None or image.state is not ImageState.CHECKING:  # another task was faster
                        await self.threads.run(partial(self.folder.remove_upload, one.id))
            except Busy:
                continue
        return False

    async def _download(self, image: Image, file: UploadFile) -> None:
        source = HttpSource(self.rules, was_public=image in self.public)
        transfer = _Transfer(self, image, file, source)
        try:
            size_bytes = await transfer.run()
        except SourceFailed as error:
            if error.is_lasting:
                await self._fail(image, str(error))
            else:
                await self._retry(image, str(error), source)
        except OutOfCapacity as error:
            await self._retry(image, error.message, source)
        else:
            self.public.forget(image)
            if size_bytes is not None:
                await self._finish(image, size_bytes)
            else:  # it failed or was deleted after this attempt began: only this attempt can remove its file
                await self.threads.run(partial(self.folder.remove_upload, image.id))

    async def _finish(self, image: Image, size_bytes: int) -> None:
        async with self.database.transaction() as db:
            if await download_store.set_downloaded(db, image.id, size_bytes):
                message = f"The image {image.name} for {image.architecture} was downloaded; it is checked now."
                await Events.record(db, "image_downloaded", message)
        log.info("image_downloaded", image=image.name, size_bytes=size_bytes)
        self.wake_checks()

    async def _retry(self, image: Image, reason: str, source: HttpSource) -> None:
        if source.was_public:
            self.public.add(image)
        async with self.database.connection() as db:
            is_retried = await download_store.set_retry(db, image.id, reason)
        log.info("image_download_interrupted", image=image.name, reason=reason, is_retried=is_retried)
        if not is_retried:
            await self._fail(image, f"{reason} The region has tried {download_store.MAX_FAILURES} times.")

    async def _fail(self, image: Image, reason: str) -> None:
        """Removes the file, then marks the image failed: a file that remained after that would not be found again."""
        self.public.forget(image)
        await self.threads.run(partial(self.folder.remove_upload, image.id))
        async with self.database.transaction() as db:
            if await upload_store.set_failed(db, image.id, reason):
                message = f"The image {image.name} for {image.architecture} was not downloaded: {reason}"
                await Events.record(db, "image_failed", message, level=Level.WARNING)
        log.warning("image_failed", image=image.name, reason=reason)


@define
class _Transfer:
    """One attempt at a download."""

    downloads: ImageDownloads
    image: Image
    file: UploadFile
    source: HttpSource

    async def run(self) -> int | None:
        """Returns the size of the file when it is on the disk; None if the image was deleted meanwhile.

        Raises SourceFailed, and OutOfCapacity if the disk becomes full: the rest can be downloaded later.
        """
        received = self.image.received_bytes
        if self.file.size_bytes() < received:
            received = 0
        content = await self._open(received)
        try:
            received = content.offset
            size_bytes = await self._size(content)
            limit = await self._limit(size_bytes)
            while await self._record(received, size_bytes):
                more = await self._call(partial(self._part, content, received, limit))
                if not more:
                    break
                received += more
            else:
                return None
        finally:
            content.close()
        if received == 0 or received < size_bytes:
            raise SourceFailed(
                f"The transfer ended after {received} of {size_bytes or 'an unknown number of'} bytes.",
                is_lasting=False,
            )
        return received

    async def _open(self, offset: int) -> HttpFile:
        url = self.image.url or ""
        try:
            return await self._call(partial(self.source.open, url, offset=offset))
        except RangeRefused:
            return await self._call(partial(self.source.open, url))

    async def _size(self, content: HttpFile) -> int:
        """Returns the size of the whole file, 0 if it is not known."""
        known, stated = self.image.size_bytes, content.whole_bytes
        if stated is None or (known and stated == known):
            return known
        if known:
            raise SourceFailed(f"The file has {stated} bytes; {known} were expected.", is_lasting=True)
        largest = self.downloads.space.limits.image_bytes
        if not 0 < stated <= largest:
            raise SourceFailed(
                f"The file has {file_size(stated)}; an image has 1 byte to {file_size(largest)} (the region's setting "
                "max_image_gib).",
                is_lasting=True,
            )
        async with self.downloads.database.transaction() as db:
            await upload_store.lock_catalogue(db)
            try:
                await self.downloads.space.require_room(db, stated)
            except OutOfCapacity as error:
                raise SourceFailed(error.message, is_lasting=True) from error
            await download_store.set_progress(db, self.image.id, content.offset, stated)
        return stated

    async def _limit(self, size_bytes: int) -> int:
        """Returns the largest size of the file in bytes."""
        if size_bytes:
            return size_bytes
        async with self.downloads.database.connection() as db:
            return (await self.downloads.space.limit(db, self.image.received_bytes)).size_bytes

    async def _record(self, received: int, size_bytes: int) -> bool:
        """Records the progress; returns False if the image was deleted. Raises SourceFailed if it takes too long."""
        async with self.downloads.database.connection() as db:
            is_overdue = await download_store.set_progress(db, self.image.id, received, size_bytes)
        if is_overdue:
            hours = upload_store.UPLOAD_LIFETIME_S / 3600
            raise SourceFailed(f"The download took longer than {hours:.0f} hours.", is_lasting=True)
        return is_overdue is not None

    def _part(self, content: HttpFile, received: int, limit: int) -> int:
        """Adds a part to the file and returns its size in bytes; 0 at the end. Blocks."""
        data = self._read_part(content)
        if received + len(data) > limit:
            raise SourceFailed(
                f"The file has more than {limit} bytes: as many as the server stated, or as there is room for.",
                is_lasting=True,
            )
        if data:
            self.downloads.space.check_free(len(data))
            self.file.write(received, data)
        return len(data)

    def _read_part(self, content: HttpFile) -> bytes:
        """Returns the data that arrive within PART_S, about PART_BYTES at most; empty at the end."""
        data = bytearray()
        began_s = time.monotonic()
        try:
            while read := content.read():
                data += read
                is_full = len(data) >= PART_BYTES or time.monotonic() - began_s >= PART_S
                if is_full or not self.source.has_data(PAUSE_S):
                    break
        except SourceFailed:
            if not data:
                raise
        return bytes(data)

    async def _call(self, work: Callable[[], T]) -> T:
        return await run_abortable(self.downloads.threads, self.source, work, deadline_s=CALL_S)
