"""Lists, uploads, downloads and deletes files of VMs. A file has all data of a VM: only its owner sees it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

from attrs import evolve, frozen

from common.errors import InvalidRequest, NotFound, WrongState
from common.units import file_size
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.exports import store
from regiond.exports.model import MAX_FILE_BYTES, MAX_FILE_NAME, Export, ExportState, SubmittedFile
from regiond.exports.store import NewExport
from regiond.exports.writing import Space
from regiond.operations.model import OperationState
from regiond.process.file_folder import UploadFile, locked
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import no_object, shown

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CHUNK_BYTES = 2**20
_RECORDED_FOR = timedelta(hours=1)  # clients read a file in many parts


@frozen(kw_only=True)
class Download:
    """A file, or the part of it that was asked for: `chunks` are `length` bytes from `start` on."""

    export: Export
    start: int
    length: int
    chunks: AsyncGenerator[bytes, None]


@frozen(kw_only=True)
class Exports:
    """The files, for users. `wake_checks` is called when an upload is complete, `wake_cleanup` after a deletion."""

    database: Database
    space: Space
    wake_checks: Callable[[], None]
    wake_cleanup: Callable[[], None]

    async def list(self, caller: Caller) -> tuple[Export, ...]:
        """Returns the files of the caller; all, for an administrator."""
        async with self.database.connection() as db:
            return await store.list_exports(db, None if caller.is_admin else caller.account_id)

    async def read(self, caller: Caller, export_id: int, *, db: Db | None = None) -> Export:
        """Returns the file. Raises NotFound, also for one of somebody else."""
        async with self.database.joined(db) as joined:
            found = await store.read(joined, export_id)
        if found is None or not found.belongs_to(caller):
            raise NotFound(no_object("export", str(export_id)))
        return found

    async def declare(self, caller: Caller, submitted: SubmittedFile, content: bytes | None = None) -> Export:
        """Returns a new file with the content; None: that is added by `append`.

        Raises InvalidRequest, OutOfCapacity, and QuotaExceeded if the account has too many files. An unfinished
        upload of the caller with the same name and content continues.
        """
        if content is not None:
            declared = await self.declare(caller, await self.space.threads.run(partial(_completed, submitted, content)))
            return await self.append(caller, declared.id, content, offset=0)
        name, sha256, size = submitted.name.strip(), submitted.sha256.strip().lower(), submitted.size_bytes or 0
        problems: dict[str, list[str]] = {}
        if not 0 < len(name) <= MAX_FILE_NAME or not name.isprintable():
            problems["name"] = [f"A name has 1 to {MAX_FILE_NAME} printable characters."]
        if not _SHA256.fullmatch(sha256):
            problems["sha256"] = [f"Not a SHA-256 of 64 hexadecimal digits: {shown(sha256)}."]
        if not 0 < size <= MAX_FILE_BYTES:
            problems["size"] = [f"A file has 1 to {MAX_FILE_BYTES} bytes."]
        if problems:
            raise InvalidRequest.of(problems)
        new = NewExport(
            name=name, state=ExportState.UPLOADING, account_id=caller.account_id, size_bytes=size,
            sha256=sha256, store_id=self.space.store_id, file=f"upload-{uuid4().hex}.tar",
        )  # fmt: skip
        async with self.database.transaction() as db:
            await store.lock(db)
            for one in await store.list_exports(db, caller.account_id):
                if (one.name, one.sha256, one.size_bytes, one.state) == (name, sha256, size, ExportState.UPLOADING):
                    return one
            await self.space.require_room(db, size, account_id=caller.account_id)
            await self.space.require_unpromised(db, size)
            export_id = await store.insert(db, new, keep_days=1)
            message = f"The upload of {name} ({file_size(size)}), a file of a VM, was begun."
            await Events.record(db, "export_added", message, caller=caller)
        return await self.read(caller, export_id)

    async def append(self, caller: Caller, export_id: int, data: bytes, *, offset: int | None = None) -> Export:
        """Adds a part to the upload, and returns the file when the part is on the disk. The last one starts the check.

        Raises NotFound; WrongState if `offset` is not the end of the upload (`expected_offset` in the details), or if
        the file takes no content; Busy during another part; InvalidRequest beyond the declared size; OutOfCapacity and
        QuotaExceeded, after a pause in which others have got the space.
        """
        if not data:
            raise InvalidRequest.of({"content": ["The body is empty: send a part as application/octet-stream."]})
        declared = await self.read(caller, export_id)
        self._require_here(declared)
        _require_uploading(declared)  # before the lock, which would make the file of another state
        async with locked(self.space.threads, partial(self.space.folder.lock, declared.file)) as file:
            found = await self.read(caller, export_id)  # again: a part that arrived at the same time may be recorded
            await self._check_part(found, file, len(data), offset)
            await self.space.threads.run(partial(file.write, found.received_bytes, data))
            await self._record_part(found, len(data))
        return await self.read(caller, export_id)

    async def _check_part(self, found: Export, file: UploadFile, length: int, offset: int | None) -> None:
        _require_uploading(found)
        received = found.received_bytes
        if file.size_bytes() < received:
            async with self.database.transaction() as db:
                await store.forget_received(db, found.id)
            raise WrongState("The region has lost what was uploaded: begin with offset=0.", expected_offset=0)
        if offset not in {None, received}:
            raise WrongState(
                f"The upload has {received} bytes: continue with offset={received}.", expected_offset=received
            )
        after = received + length
        if after > found.size_bytes:
            raise InvalidRequest.of({"content": [f"{after} bytes are more than the declared {found.size_bytes}."]})
        await self._promise_again(found)
        await self.space.require_free(length)

    async def _promise_again(self, found: Export) -> None:
        """Others may have got the space of an upload that was idle. Raises OutOfCapacity, QuotaExceeded."""
        async with self.database.transaction() as db:
            if not await store.is_idle(db, found.id):
                return
            await store.lock(db)
            await self.space.require_room(db, found.size_bytes, account_id=found.account_id, own=found.id)
            await self.space.require_unpromised(db, found.size_bytes - found.received_bytes)
            await store.renew(db, found.id)

    async def _record_part(self, found: Export, length: int) -> None:
        after = found.received_bytes + length
        async with self.database.transaction() as db:
            if not await store.add_received(db, found.id, found.received_bytes, after, keep_days=1):
                raise WrongState(f"The upload of {found.name} was deleted during this part.")
        if after == found.size_bytes:
            self.wake_checks()

    async def delete(self, caller: Caller, export_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the file. Raises NotFound, and WrongState while an operation writes or imports it."""
        async with self.database.transaction(dry_run=dry_run) as db:
            await store.lock_one(db, export_id)  # an import that is being reserved is seen, or finds no file
            found = await self.read(caller, export_id, db=db)
            user = await store.user_of(db, export_id)
            if user is not None:
                doing = "exported" if found.state is ExportState.EXPORTING else f"imported as {user.hostname}"
                remedy = f"Cancel that first: innkeeper operation cancel {user.id}"
                if user.state == OperationState.UNDOING:
                    remedy = f"Operation {user.id} is being undone: the file goes when that has ended."
                raise WrongState(f"{found.name} is being {doing}. {remedy}", operation=user.id)
            await store.delete(db, export_id)
            await Events.record(
                db, "export_deleted", f"The file of the VM {found.name} was deleted.", caller=caller
            )  # fmt: skip
        if not dry_run:
            self.wake_cleanup()
        record = AffectedRecord(kind="export", id=str(found.id), name=found.name)
        return DeletionPlan(name=found.name, deleted=(record,), effects=("No VM is changed.",))

    async def download(self, caller: Caller, export_id: int, start: int = 0, end: int | None = None) -> Download:
        """Returns the bytes from `start` up to `end`, not included; None: all that follow.

        Raises NotFound, WrongState for a file that is not ready or that another region has, InvalidRequest for a range
        that the file does not have.
        """
        found = await self.read(caller, export_id)
        if not found.is_ready:
            why = f" {found.error}" if found.error else ""
            raise WrongState(f"The file of {found.name} is {found.state}, not ready.{why}")
        self._require_here(found)
        stop = found.size_bytes if end is None else min(end, found.size_bytes)
        if not 0 <= start < stop:
            raise InvalidRequest(f"The file has {found.size_bytes} bytes; a range begins within it.")
        if not await self.space.threads.run(partial(self.space.folder.has, found.file, found.size_bytes)):
            raise WrongState(f"The file of {found.name} is missing in the region's folder. Export it again.")
        await self._record_download(caller, found, start)
        return Download(export=found, start=start, length=stop - start, chunks=self._chunks(found.file, start, stop))

    async def _record_download(self, caller: Caller, found: Export, start: int) -> None:
        """Records an event for each reader that begins, and for one that continues once in a while."""
        kind, details = "export_downloaded", {"export": found.id}
        async with self.database.transaction() as db:
            if start and await Events.is_recorded(db, kind, within=_RECORDED_FOR, caller=caller, details=details):
                return
            message = f"The file of the VM {found.name} is downloaded: all data of its disks."
            await Events.record(db, kind, message, caller=caller, details=details)

    async def _chunks(self, file: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        path = self.space.folder.path(file)
        descriptor = await self.space.threads.run(partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            while start < stop:
                size = min(_CHUNK_BYTES, stop - start)
                data = await self.space.threads.run(partial(os.pread, descriptor, size, start))
                if not data:
                    raise WrongState("The file is shorter than it was.")
                yield data
                start += len(data)
        finally:
            os.close(descriptor)

    def _require_here(self, found: Export) -> None:
        if found.store_id != self.space.store_id:
            raise WrongState(
                f"The file of {found.name} is in the folder of another region, which does not share it with this one. "
                "Ask that region."
            )


def _require_uploading(found: Export) -> None:
    if found.state is not ExportState.UPLOADING:
        raise WrongState(f"The file {found.name} is {found.state}: it takes no content.")


def _completed(submitted: SubmittedFile, content: bytes) -> SubmittedFile:
    """Returns `submitted` with hash and size of the content. Raises InvalidRequest if others were declared."""
    sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    if submitted.sha256.lower() not in {"", sha256} or submitted.size_bytes not in {None, size}:
        raise InvalidRequest.of({"content": [f"The content has {size} bytes with the SHA-256 {sha256}."]})
    return evolve(submitted, sha256=sha256, size_bytes=size)
