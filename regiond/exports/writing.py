"""Writes the file of an export, for the operation that reads the disks of the machine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

from attrs import define, frozen

from common.disks.disk_content import DiskPart
from common.errors import Busy, OutOfCapacity, QuotaExceeded
from common.process.private_files import DISK_FULL_ERRNOS
from common.units import file_size
from regiond.db.pool import Database, Db
from regiond.exports import store
from regiond.exports.archive import ArchiveWriter, Stopped
from regiond.exports.description import disk_file
from regiond.exports.disk_writer import DiskWriter
from regiond.exports.model import ExportLimits, ExportState, MachineDescription
from regiond.exports.store import NewExport
from regiond.process.file_folder import FileFolder, Threads

T = TypeVar("T")
_PROGRESS_EVERY_S = 2.0
_LEAST_FREE_BYTES = 2**20


@frozen(kw_only=True)
class Space:
    """The space for files in this region's folder.

    `store_id` names the folder in the database: regions that share the folder have the same id. `promised_to_others`
    returns what something else on this disk was promised and does not take yet.
    """

    folder: FileFolder
    store_id: UUID
    threads: Threads
    limits: ExportLimits
    promised_to_others: Callable[[Db], Awaitable[int]]

    async def require_room(self, db: Db, size_bytes: int, *, account_id: int | None, own: int = 0) -> None:
        """Raises OutOfCapacity, in numbers, if a file of this size does not fit; QuotaExceeded if its account may not
        have it. `own` is its export, if it has one. The caller has called `store.lock`.
        """
        held = None if account_id is None else await store.used_by(db, account_id, without=own)
        if held is not None and held + size_bytes > self.limits.account_bytes:
            raise QuotaExceeded(
                f"Your files take {file_size(held)} of {file_size(self.limits.account_bytes)} (the region's setting "
                f"max_exports_per_account_gib); {file_size(size_bytes)} more do not fit. Delete exports that you do "
                "not need any more."
            )
        used = await store.used_bytes(db, self.store_id, without=own)
        if used + size_bytes > self.limits.total_bytes:
            raise OutOfCapacity(
                f"Exports take {file_size(used)} of {file_size(self.limits.total_bytes)} (the region's setting "
                f"max_exports_gib); {file_size(size_bytes)} more do not fit. Delete exports that are not needed any "
                "more."
            )

    async def require_unpromised(self, db: Db, size_bytes: int) -> None:
        """Raises OutOfCapacity if the disk has no room for this beside all that was promised."""
        promised = await store.missing_bytes(db, self.store_id) + await self.promised_to_others(db)
        await self.require_free(size_bytes + promised)

    async def require_free(self, needed_bytes: int) -> None:
        """Raises OutOfCapacity if the disk would have less than the reserve afterwards."""
        reserve = self.limits.reserve_bytes
        await self.threads.run(partial(self.folder.require_free, needed_bytes, reserve_bytes=reserve))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raises OutOfCapacity instead of the error of a full disk, and Busy because the region stops."""
        try:
            yield
        except Stopped:
            raise Busy("The region stops.") from None
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                raise OutOfCapacity(
                    "The region's disk for exports is full. Delete exports or images that are not needed."
                ) from error
            raise


@frozen(kw_only=True)
class WrittenFile:
    """A complete file. `record`, in the transaction that ends the operation, makes it ready."""

    export_id: int
    file: str
    size_bytes: int
    sha256: str
    description: MachineDescription
    keep_days: int

    async def record(self, db: Db) -> None:
        """Raises Busy if another attempt writes the export now."""
        if not await store.set_exported(
            db, self.export_id, self.file, self.size_bytes, self.sha256, self.description, keep_days=self.keep_days
        ):
            raise Busy("Another attempt writes this export.")


@define(kw_only=True)
class ExportWriter:
    """The file while one attempt writes it. Methods raise OutOfCapacity if it does not fit any more."""

    export_id: int
    file: str
    _database: Database
    _space: Space
    _account_id: int | None
    _archive: ArchiveWriter
    _disk: DiskWriter | None = None
    _noted_s: float = 0.0

    async def begin_disk(self, size_bytes: int) -> None:
        self._disk = await self._run(partial(self._archive.begin_disk, size_bytes))

    async def add(self, part: DiskPart, *, percent: int) -> None:
        """Adds a part of the present disk. `percent` is how far the whole export has come."""
        disk = self._present()
        await self._run(partial(disk.add, part))
        now_s = time.monotonic()
        if now_s - self._noted_s >= _PROGRESS_EVERY_S:
            self._noted_s = now_s
            await self._note(percent)

    async def end_disk(self, index: int) -> tuple[str, int, str]:
        """Returns name, size and SHA-256 of the disk's image in the file."""
        name, disk = disk_file(index), self._present()
        self._disk = None
        size, sha256 = await self._run(partial(self._archive.end_disk, disk, name))
        return name, size, sha256

    async def finish(self, found: MachineDescription) -> WrittenFile:
        await self._note(99)
        size, sha256 = await self._run(partial(self._archive.finish, found))
        return WrittenFile(
            export_id=self.export_id, file=self.file, size_bytes=size, sha256=sha256, description=found,
            keep_days=self._space.limits.keep_days,
        )  # fmt: skip

    async def _note(self, percent: int) -> None:
        written = await self._run(self._archive.written_bytes)
        await self._space.require_free(_LEAST_FREE_BYTES)
        async with self._database.transaction() as db:
            await self._space.require_room(db, written, account_id=self._account_id, own=self.export_id)
            if not await store.set_progress(db, self.export_id, self.file, written, percent):
                raise Busy("Another attempt writes this export.")

    def _present(self) -> DiskWriter:
        if self._disk is None:
            raise AssertionError("no disk is being written")
        return self._disk

    async def _run(self, work: Callable[[], T]) -> T:
        with self._space.explained():
            return await self._space.threads.run(work)


@frozen(kw_only=True)
class ExportFiles:
    """Makes the files of exports. `wake_cleanup` is called when a file may have become unnecessary."""

    database: Database
    space: Space
    wake_cleanup: Callable[[], None]

    async def add(self, db: Db, *, name: str, machine: str, account_id: int | None) -> int:
        """Returns the id of a new export, whose file an operation will write, in the caller's transaction.

        Raises OutOfCapacity if there is no room for any file, QuotaExceeded if the account may have no more.
        """
        await store.lock(db)
        await self.space.require_room(db, 1, account_id=account_id)
        new = NewExport(name=name, state=ExportState.EXPORTING, account_id=account_id, machine=machine)
        return await store.insert(db, new, keep_days=self.space.limits.keep_days)

    @staticmethod
    async def tie(db: Db, export_id: int, operation_id: int) -> None:
        """Records the operation that writes the file."""
        await store.tie(db, export_id, operation_id)

    @asynccontextmanager
    async def writer(self, export_id: int) -> AsyncIterator[ExportWriter]:
        """Yields a new file of the export in this region's folder; what an earlier attempt wrote is removed soon.

        Raises Busy if the export is gone.
        """
        folder, threads = self.space.folder, self.space.threads
        await self.space.require_free(_LEAST_FREE_BYTES)
        file = f"{export_id}-{uuid4().hex}.tar"
        async with self.database.transaction() as db:
            found = await store.read(db, export_id)
            if found is None or not await store.begin(db, export_id, self.space.store_id, file):
                raise Busy(f"The export {export_id} is gone.")
        opened: list[ArchiveWriter] = []

        def open_() -> None:
            opened.append(ArchiveWriter(folder.path(file), made_at=int(time.time()), is_stopped=threads.is_stopped))

        try:
            with self.space.explained():
                await threads.run(open_)
                yield ExportWriter(
                    export_id=export_id, file=file, database=self.database, space=self.space,
                    account_id=found.account_id, archive=opened[0],
                )  # fmt: skip
        finally:
            for one in opened:
                one.close()
            self.wake_cleanup()

    @staticmethod
    async def discard(db: Db, export_id: int) -> None:
        """Deletes the export in the caller's transaction. The next cleanup removes its file. Idempotent."""
        await store.delete(db, export_id)
