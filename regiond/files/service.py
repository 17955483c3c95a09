"""Stores small files of users, as MAAS's `files/` does for Juju."""

from __future__ import annotations

from uuid import UUID

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Database
from regiond.files import store
from regiond.files.model import MAX_FILENAME, MAX_FILES, FileWithContent, StoredFile, check_file
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import existing, no_object


class Files:
    """Methods with a caller act on the caller's own files, administrators' included."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, caller: Caller, prefix: str = "") -> tuple[StoredFile, ...]:
        """Returns the files whose names begin with `prefix`, by name."""
        async with self._database.connection() as db:
            return await store.list_files(db, caller.account_id, prefix)

    async def read(self, caller: Caller, filename: str) -> FileWithContent:
        """Raises NotFound."""
        async with self._database.connection() as db:
            read = await store.read(db, caller.account_id, filename) if _may_exist(filename) else None
        return existing(read, "file of yours", filename)

    async def read_by_key(self, key: str) -> FileWithContent:
        """Returns the file of any user. Raises NotFound."""
        try:
            wanted = UUID(key)
        except ValueError:
            raise NotFound("No file has this key.") from None
        async with self._database.connection() as db:
            found = await store.read_by_key(db, wanted)
        if found is None:
            raise NotFound("No file has this key.")
        return found

    async def write(self, caller: Caller, filename: str, content: bytes) -> StoredFile:
        """Creates the file or replaces its content. Raises InvalidRequest beyond a limit. Idempotent."""
        check_file(filename, content)
        async with self._database.transaction() as db:
            if await store.count_others(db, caller.account_id, filename) >= MAX_FILES:
                raise InvalidRequest.of({"filename": [f"You have {MAX_FILES} files; delete one first."]})
            return await store.write(db, caller.account_id, filename, content)

    async def delete(self, caller: Caller, filename: str, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound."""
        async with self._database.transaction(dry_run=dry_run) as db:
            if not _may_exist(filename) or not await store.delete(db, caller.account_id, filename):
                raise NotFound(no_object("file of yours", filename))
        return DeletionPlan(
            name=filename, deleted=(AffectedRecord(kind="file", id=filename, name=filename),), effects=()
        )


def _may_exist(text: str) -> bool:
    """PostgreSQL rejects NUL and lone surrogates; nothing is named with them."""
    return len(text) <= MAX_FILENAME and text.isprintable()
