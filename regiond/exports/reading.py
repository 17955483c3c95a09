"""Reads the disks in a file, for the operation that writes them to a host."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import BinaryIO

from attrs import frozen

from common.disk_content import DiskPart
from common.errors import Busy, WrongState
from regiond.db.pool import Database
from regiond.exports import store
from regiond.exports.archive import Stopped, checked, members_of
from regiond.exports.disk_reader import DiskImage
from regiond.exports.model import BadExport, Export, ExportedDisk
from regiond.exports.writing import Space


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
            raise WrongState("The file was deleted, or has expired. Upload it again.")
        if found.store_id != self.space.folder.store_id:
            raise Busy(f"The file of {found.name} is in the folder of another region, which has to import it.")
        return found

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
