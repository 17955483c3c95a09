"""Bring a database to what this release needs: numbered SQL files, each applied once, whoever starts first."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
import structlog
from attrs import frozen

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.errors import while_using
from regiond.db.pool import connect

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OUTSIDE = "-- no transaction"
_LOCK = 0x1_4E4B_4545  # any number, as long as nothing else of ours locks it
_LOCK_DEADLINE_S = 120.0
_LOCK_EVERY_S = 0.05

_TRY_LOCK = "select pg_try_advisory_lock($1)"
_CREATE_TABLE = """
    create table if not exists schema_migration (
        number integer primary key,
        name text not null,
        digest text not null,
        applied_at timestamptz not null default now()
    )
"""
_APPLIED = "select number, name, digest from schema_migration order by number"
_RECORD = "insert into schema_migration (number, name, digest) values ($1, $2, $3)"


@frozen(kw_only=True)
class Migration:
    """One file. `outside`: its first line is `-- no transaction`, for what PostgreSQL refuses inside one.

    Such a file holds one statement and has to stand being run again (`create index concurrently if not exists`): a
    crash between the statement and its record repeats it.
    """

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def outside(self) -> bool:
        return self.sql.startswith(_OUTSIDE)


def packaged() -> tuple[Migration, ...]:
    """The migrations of this release, in order."""
    folder = resources.files("regiond.db.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(migration(name, folder.joinpath(name).read_text("utf-8")) for name in names)


def migration(name: str, sql: str) -> Migration:
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise ValueError(f"{name} is not named like 0001_what_it_does.sql")
    return Migration(number=int(matched[1]), name=name, sql=sql)


async def migrate(dsn: str, migrations: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Apply what is missing and return the names of the files applied; harmless again, and from many processes at once.

    All files in a row are one transaction: a broken one changes nothing, and its PostgreSQL error names the file.
    Raises BadSettings when an applied file was edited since, or when the database is newer than this release;
    DatabaseUnavailable when it cannot be reached, or another process holds the lock for two minutes.
    """
    connection = await connect(dsn, application_name="innkeeper-migrate")
    try:
        with while_using(connection):
            await _lock(connection)
            return await _apply_missing(connection, packaged() if migrations is None else migrations)
    finally:
        await connection.close(timeout=10.0)  # gives the lock back too


async def _lock(db: Db) -> None:
    """Asked for again and again, never waited for: `create index concurrently` waits for every statement that waits."""
    try:
        async with asyncio.timeout(_LOCK_DEADLINE_S):
            while not await db.fetchval(_TRY_LOCK, _LOCK):  # noqa: ASYNC110 - another process has it, no Event can tell
                await asyncio.sleep(_LOCK_EVERY_S)
    except TimeoutError:
        raise DatabaseUnavailable(f"Another process has been migrating for {_LOCK_DEADLINE_S:.0f} s.") from None


async def _apply_missing(db: Db, migrations: Sequence[Migration]) -> tuple[str, ...]:
    await db.execute(_CREATE_TABLE)
    rows = {row["number"]: row for row in await db.fetch(_APPLIED)}
    known = {one.number: one for one in migrations}
    for number, row in rows.items():
        _check(row["name"], row["digest"], known.get(number))
    missing = [one for one in migrations if one.number not in rows]
    for batch in _batches(missing):
        if batch[0].outside:
            await _apply(db, batch[0])
        else:
            async with db.transaction():
                for one in batch:
                    await _apply(db, one)
    if missing:
        log.info("database_migrated", applied=[one.name for one in missing])
    return tuple(one.name for one in missing)


def _check(name: str, digest: str, known: Migration | None) -> None:
    if known is None:
        raise BadSettings(f"The database is newer than this release: {name} was applied to it, and is not known here.")
    if known.digest != digest:
        raise BadSettings(f"{known.name} was edited after it was applied to this database: a change is a new file.")


def _batches(missing: Iterable[Migration]) -> list[list[Migration]]:
    """Files that go into one transaction together; each file marked as outside stands alone."""
    batches: list[list[Migration]] = []
    for one in missing:
        if batches and not one.outside and not batches[-1][0].outside:
            batches[-1].append(one)
        else:
            batches.append([one])
    return batches


async def _apply(db: Db, one: Migration) -> None:
    try:
        await db.execute(one.sql)
    except asyncpg.PostgresError as error:
        error.add_note(f"in the migration {one.name}")
        raise
    await db.execute(_RECORD, one.number, one.name, one.digest)
