"""Reads the disks in a file, for the operation that writes them to a host."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from attrs import frozen

from common.disks.disk_content import DiskPart
from common.errors import Busy, WrongState
from common.guests.deployment_spec import ImageFormat, ImageRef
from regiond.db.pool import Database, Db
from regiond.exports import store
from regiond.exports.archive import Member, Stopped, checked, members_of, sha256_of
from regiond.exports.disk_reader import DiskImage
from regiond.exports.disk_writer import DiskWriter
from regiond.exports.model import BadExport, Export, ExportedDisk
from regiond.exports.writing import Space
from regiond.process.file_folder import Threads

_GONE = "The file was deleted, or has expired. Upload it again."


@frozen(kw_only=True)
class DiskFile:
    """An image of one disk."""

    image: ImageRef
    _file: IO[bytes]
    _threads: Threads

    async def read(self, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes from `offset`."""
        return await self._threads.run(lambda: os.pread(self._file.fileno(), size, offset))


@frozen(kw_only=True)
class DiskParts:
    """Reads the disks of files in this region's folder."""

    database: Database
    space: Space

    async def read(self, export_id: int) -> Export:
        """Returns the entry of a file that is ready. Raises WrongState; Busy if another region has it."""
        async with self.database.connection() as db:
            found = await store.read(db, export_id)
        if found is None or not found.is_ready:
            raise WrongState(_GONE)
        if found.store_id != self.space.store_id:
            raise Busy(f"The file of {found.name} is in the folder of another region, which has to import it.")
        return found

    @staticmethod
    async def hold(db: Db, export_id: int) -> None:
        """Keeps the file for an import, whose operation the caller's transaction opens.

        It neither expires nor can be deleted until that operation ends or is undone, and can be imported again for a
        day from now.
        Raises WrongState if it is gone.
        """
        if not await store.hold(db, export_id):
            raise WrongState(_GONE)

    async def require(self, export_id: int) -> None:
        """Returns when the content of the file was compared with its hashes. Raises as `read`.

        The file may have been damaged since it was written, or checked after its upload.
        """
        found = await self.read(export_id)
        path, threads = self.space.folder.path(found.file), self.space.threads
        try:
            await threads.run(partial(checked, path, sha256=found.sha256, is_stopped=threads.is_stopped))
        except FileNotFoundError:
            raise WrongState(f"The file of {found.name} is missing in the region's folder.") from None
        except BadExport as error:
            raise WrongState(f"The file of {found.name} cannot be imported: {error}") from error
        except Stopped:
            raise Busy("The region stops.") from None

    @asynccontextmanager
    async def image(self, found: Export, disk: ExportedDisk) -> AsyncIterator[DiskFile]:
        """Yields an image of the disk that the region itself has written, in a file without a name for the block.

        Raises WrongState for a damaged image, OutOfCapacity if the region's disk has no space for another copy.
        """
        threads, folder = self.space.threads, self.space.folder
        await self.space.require_free(disk.file_bytes)
        file = await threads.run(lambda: TemporaryFile(dir=folder.root))  # noqa: SIM115  # closed below
        with file, self.space.explained():
            writer = await threads.run(partial(DiskWriter, file, disk.size_bytes))
            async for part in self.parts(found, disk):
                await threads.run(partial(writer.add, part))
            size_bytes = await threads.run(writer.finish)
            whole = Member(0, size_bytes)
            sha256 = await threads.run(partial(sha256_of, file, whole, is_stopped=threads.is_stopped))
            image = ImageRef(
                sha256=sha256, size_bytes=size_bytes, virtual_size_bytes=disk.size_bytes, format=ImageFormat.QCOW2
            )
            yield DiskFile(image=image, file=file, threads=threads)

    async def parts(self, found: Export, disk: ExportedDisk) -> AsyncGenerator[DiskPart, None]:
        """Yields the content of a disk, in parts that a host takes. Raises WrongState for a damaged image."""
        opened: list[BinaryIO] = []

        def open_() -> Callable[[], DiskPart | None]:
            opened.append(self.space.folder.path(found.file).open("rb"))
            members = members_of(opened[0], opened[0].seek(0, 2))
            member = members[disk.file]
            parts = DiskImage(opened[0], member.offset, member.size).parts(disk.size_bytes)
            return lambda: next(parts, None)

        try:
            read = await self.space.threads.run(open_)
            while (part := await self.space.threads.run(read)) is not None:
                yield part
        except (BadExport, KeyError, FileNotFoundError) as error:
            raise WrongState(f"The image {disk.file} cannot be read: {error}") from error
        finally:
            for one in opened:
                one.close()
