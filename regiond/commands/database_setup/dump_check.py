"""Compares what a dump would create with what the migrations make.

A backup of a database whose code somebody has changed would bring that code into the new one, with the rights of its
owner. So the comparison comes before anything is loaded. It uses transactions that are rolled back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager

import asyncpg

from common.errors import WrongState
from common.words.phrases import first_of
from regiond.backup.dump_entries import DumpEntry
from regiond.backup.model import BackupFailed
from regiond.db.errors import LOST
from regiond.db.migration_files import Migration
from regiond.db.pool import Db
from regiond.db.stored_code import SCHEMA, SYSTEM_PATH, StoredCode, code_of, stored_code

_FUNCTION = "FUNCTION"
# Creating them runs nothing of theirs, once the functions are known.
_CREATED = frozenset({
    "TABLE", "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "INDEX",
    "TRIGGER", "SCHEMA", _FUNCTION,
})  # fmt: skip
_WITHOUT_CODE = frozenset({
    "ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "COMMENT", "ACL", "TABLE DATA", "SEQUENCE SET",
})  # fmt: skip
_SHOWN = 8


async def check_dump(db: Db, entries: Collection[DumpEntry], migrations: Iterable[Migration]) -> None:
    """Raises BackupFailed, with names, for what the migrations of the backup do not make, in a database without tables.

    Raises WrongState if that has code of its own. Changes nothing.
    """
    async with _rolled_back(db):
        if found := (await stored_code(db)).differences(StoredCode()):
            raise WrongState(
                f"The database can execute what Innkeeper's migrations do not make: {'; '.join(found)}. A backup is "
                "restored into an empty database. Nothing was changed. Create another one: innkeeper region init "
                "--for-restore"
            )
        made = await code_of(db, migrations)
        _check_kinds(entries, made)
        for one in entries:
            if one.kind == _FUNCTION:
                await _create(db, one, one.statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
        _check(await stored_code(db), made)
    async with _rolled_back(db):
        for one in entries:
            if one.kind in _CREATED and (one.kind, one.name) != ("SCHEMA", SCHEMA):
                await _create(db, one, one.statement)
        _check(await stored_code(db), made)


def _check_kinds(entries: Iterable[DumpEntry], made: StoredCode) -> None:
    """Refuses other code before it is parsed, and names that PostgreSQL's programs could take for statements."""
    foreign = []
    for one in entries:
        is_known = one.kind in _CREATED | _WITHOUT_CODE
        if one.kind == _FUNCTION:
            is_known = f"function {one.schema}.{one.name}".replace(", ", ",") in made.digests
        if not is_known or not f"{one.name}{one.schema}{one.owner}".isprintable():
            foreign.append(one.described)
    if foreign:
        raise _refused((f"not made by Innkeeper: {first_of(sorted(foreign), _SHOWN)}",))


def _check(found: StoredCode, made: StoredCode) -> None:
    if differences := StoredCode(digests=found.digests).differences(made):
        raise _refused(differences)


def _refused(differences: Iterable[str]) -> BackupFailed:
    return BackupFailed(
        f"The backup has code that differs from what Innkeeper's migrations make: {'; '.join(differences)}. Nothing "
        "was loaded, and none of it was run. Somebody who had the rights of the region may have put it into the "
        "database that was saved. Restore a backup of before, or drop it in that database and make a new one."
    )


async def _create(db: Db, one: DumpEntry, statement: str) -> None:
    try:
        await db.execute(statement)
    except LOST:
        raise
    except asyncpg.PostgresError as error:
        raise BackupFailed(
            f"The backup has a {one.described} that cannot be created: {error}. Nothing was loaded, and none of it "
            "was run."
        ) from error


@asynccontextmanager
async def _rolled_back(db: Db) -> AsyncIterator[None]:
    transaction = db.transaction()
    await transaction.start()
    try:
        await db.execute(f"set local search_path = {SYSTEM_PATH['search_path']}")
        await db.execute("set local check_function_bodies = off")  # as pg_restore
        yield
    finally:
        if not db.is_closed():
            await transaction.rollback()
