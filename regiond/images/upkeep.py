"""Checks uploaded images; removes files that are not needed any more or remained after a crash."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog
from attrs import evolve, field, frozen

from common.errors import Busy
from common.process.periodic import NextRoundIn
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.images import default_store, store, upload_store
from regiond.images.content import ContentFolder, Stopped, sha256_of
from regiond.images.file_threads import FileThreads
from regiond.images.inspection.confinement import ConfinementReport
from regiond.images.inspection.service import Inspected, Inspection
from regiond.images.model import BadImage, Image, ImageState
from regiond.images.space import StoreSpace
from regiond.process.file_folder import UploadFile, locked

RETRY_BUSY_S = 2.0
MISSING = "Its content is missing in the region's folder of images. Upload it again."

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen
class ImageChecks:
    """Checks the images in `checking`, one after the other. Regions that share the folder never check the same one."""

    database: Database
    folder: ContentFolder
    threads: FileThreads
    inspection: Inspection
    space: StoreSpace
    confinement: ConfinementReport = field(factory=ConfinementReport)

    async def run(self) -> NextRoundIn | None:
        """Runs one round; returns when to run another if a file was in use. Idempotent: repeats interrupted checks."""
        async with self.database.connection() as db:
            waiting = await upload_store.in_states(db, self.folder.store_id, [ImageState.CHECKING])
        if waiting:
            await self.confinement.once()
        skipped = False
        for image in waiting:
            try:
                await self._check(image.id)
            except Busy:  # for minutes by another region's check, or briefly by a repeated part or a second download
                skipped = True
                log.debug("image_check_delayed", image=image.name, reason="its file is in use")
            except Stopped:
                return None
        return NextRoundIn(RETRY_BUSY_S) if skipped else None

    async def _check(self, image_id: int) -> None:
        async with locked(self.threads, partial(self.folder.lock, image_id)) as file:
            async with self.database.connection() as db:
                image = await store.read(db, image_id)
            if image is None or image.state is not ImageState.CHECKING:
                return
            try:
                path = await self.threads.run(partial(self._path, image, file))
                if not image.sha256:
                    image = evolve(image, sha256=await self._hash(image, path))
                async with self.database.connection() as db:
                    limit = await self.space.limit(db, image.size_bytes)
                inspected = await self.inspection.inspect(image, path, self.folder.unpacked_path(image_id), limit)
                await self._finish(image, inspected)
            except BadImage as error:
                await self._fail(image, str(error))
            except FileNotFoundError:
                if await self.threads.run(file.exists):
                    raise
                await self._fail(image, MISSING)

    async def _hash(self, image: Image, path: Path) -> str:
        """Returns the hash of an upload that was declared without one.

        Stores it at once, so that the content is found after an interruption.
        """
        sha256 = await self.threads.run(partial(sha256_of, path, is_stopped=self.threads.is_stopped))
        async with self.database.connection() as db:
            await upload_store.set_hash(db, image.id, sha256)
        return sha256

    def _path(self, image: Image, file: UploadFile) -> Path:
        """Returns the path of the content, which an earlier, interrupted round may have moved."""
        if file.size_bytes() == 0 and self.folder.has(image.sha256, image.size_bytes):
            return self.folder.content_path(image.sha256)
        return self.folder.upload_path(image.id)

    async def _fail(self, image: Image, reason: str) -> None:
        """Removes the file, then marks the image failed: a file that remained after that would not be found again."""
        await self.threads.run(partial(self.folder.remove_upload, image.id))
        async with self.database.transaction() as db:
            if await upload_store.set_failed(db, image.id, reason):
                message = f"The image {image.name} for {image.architecture} cannot be used: {reason}"
                await Events.record(db, "image_failed", message, level=Level.WARNING)
                log.warning("image_failed", image=image.name, reason=reason)
            else:
                log.info("image_check_ended", image=image.name, reason="the image was deleted")

    async def _finish(self, image: Image, inspected: Inspected) -> None:
        """Moves the content, then marks the image ready, and removes the packed file last.

        So a ready image always has its content, and an interrupted check still has the packed file.
        """
        is_new = inspected.path != self.folder.content_path(inspected.sha256)
        async with self.database.transaction() as db:
            await upload_store.lock_catalogue(db)
            if is_new:
                await self.threads.run(partial(self.folder.keep, inspected.path, inspected.sha256))
            if await upload_store.set_ready(db, image.id, inspected):
                await default_store.record_first(db, image.id)
                message = f"The image {image.name} for {image.architecture} is ready."
                await Events.record(db, "image_ready", message)
        await self.threads.run(partial(self.folder.remove_upload, image.id))
        log.info("image_ready", image=image.name, format=inspected.format, size_bytes=inspected.size_bytes)


@frozen
class ImageCleanup:
    """Ends abandoned uploads and removes files without an entry, in this region's folder."""

    database: Database
    folder: ContentFolder
    threads: FileThreads

    async def run(self) -> None:
        """Runs one round. Idempotent."""
        await self._expire()
        await self._remove_uploads()
        await self._remove_content()
        await self._find_missing()

    async def _expire(self) -> None:
        async with self.database.transaction() as db:
            for image in await upload_store.expired(db, self.folder.store_id):
                await upload_store.delete(db, image.id)
                message = f"The upload of the image {image.name} for {image.architecture} was given up: nothing came."
                await Events.record(db, "image_upload_expired", message, level=Level.WARNING)
                log.info("image_upload_expired", image=image.name, received_bytes=image.received_bytes)

    async def _remove_uploads(self) -> None:
        """Removes files without an entry. Lists the files before the entries: a file is made after its entry."""
        found = await self.threads.run(self.folder.uploads)
        async with self.database.connection() as db:
            needed = await upload_store.open_uploads(db, self.folder.store_id)
        for image_id in sorted(found - needed):
            await self.threads.run(partial(self.folder.remove_upload, image_id))
            log.info("image_upload_removed", image_id=image_id)

    async def _remove_content(self) -> None:
        found = await self.threads.run(self.folder.hashes)
        async with self.database.transaction() as db:
            await upload_store.lock_catalogue(db)
            needed = await upload_store.used_of(db, self.folder.store_id, found)
            for sha256 in sorted(found - needed):
                await self.threads.run(partial(self.folder.remove_content, sha256))
                log.info("image_content_removed", sha256=sha256)

    async def _find_missing(self) -> None:
        """Marks images failed whose content was removed or lost, so that no deployment is the first to notice."""
        async with self.database.connection() as db:
            ready = await upload_store.in_states(db, self.folder.store_id, [ImageState.READY])
        for image in ready:
            if await self.threads.run(partial(self.folder.has, image.sha256, image.size_bytes)):
                continue
            async with self.database.transaction() as db:
                if await upload_store.set_failed(db, image.id, MISSING):
                    message = f"The image {image.name} for {image.architecture} failed: {MISSING}"
                    await Events.record(db, "image_failed", message, level=Level.ERROR)
            log.error("image_content_missing", image=image.name, sha256=image.sha256)
