"""Bring a database to what this release needs: numbered SQL files, each applied once, whoever starts first."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING

import asyncpg
import structlog
from attrs import frozen

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.errors import GONE, while_using
from regiond.db.pool import connect

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

RELEASE = version("innkeeper")
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_OUTSIDE = "-- no transaction"
_LOCK = 0x1_4E4B_4545  # any number, as long as nothing else of ours locks it
_LOCK_DEADLINE_S = 120.0
_LOCK_EVERY_S = 0.05

# Told to every region when files were applied: one that does not know them may not write any more.
MIGRATED_CHANNEL = "schema_migrated"

_TRY_LOCK = "select pg_try_advisory_lock($1)"
_WHO_LOCKS = """
    select format('process %s of the database (%s, from %s, since %s UTC)', a.pid, a.application_name,
                  coalesce(host(a.client_addr), 'its own machine'),
                  to_char(a.backend_start at time zone 'UTC', 'HH24:MI:SS'))
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database
                                                                     where datname = current_database())
       and (l.classid::bigint << 32) + l.objid::bigint = $1
"""
_CREATE_TABLE = """
    create table if not exists schema_migration (
        number integer primary key,
        name text not null,
        digest text not null,
        applied_at timestamptz not null default now()
    )
"""
_ADD_RELEASE = "alter table schema_migration add column if not exists release text"
_IS_THERE = "select to_regclass('schema_migration') is not null"
# Older releases made the table without the column.
_APPLIED = "select number, name, digest, to_jsonb(m) ->> 'release' as release from schema_migration m order by number"
_RECORD = "insert into schema_migration (number, name, digest, release) values ($1, $2, $3, $4)"
_TELL = "select pg_notify($1, $2)"
# The server finds out within seconds that whoever migrates is gone, and gives the lock back.
_SOON_GONE = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


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


@cache  # a release that is installed over a running one brings files that the running one does not know
def packaged() -> tuple[Migration, ...]:
    """The migrations of this release, in order, as they were when it was first asked."""
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

    All files in a row are one transaction: killed at any moment, nothing of them was done, and the next call begins
    them anew. When nothing is missing, nothing is written and nobody waited for: a read-only database will do.
    Raises BadSettings when a file cannot be applied (the message names it and why), was edited since it was, or when
    the database is newer than this release; DatabaseUnavailable when it cannot be reached or written to, or another
    process holds the lock for two minutes.
    """
    known = packaged() if migrations is None else migrations
    connection = await connect(dsn, application_name="innkeeper-migrate", settings=_SOON_GONE)
    try:
        with while_using(connection):
            if not await _missing(connection, known):
                return ()
            await _lock(connection)
            return await _apply_missing(connection, known)
    finally:
        await connection.close(timeout=10.0)  # gives the lock back too


async def check_release(db: Db, migrations: Sequence[Migration] | None = None) -> None:
    """Raises BadSettings when a newer release has migrated the database, or files differ. For a region that runs."""
    await _missing(db, packaged() if migrations is None else migrations)


async def _lock(db: Db) -> None:
    """Asked for again and again, never waited for: `create index concurrently` waits for every statement that waits."""
    try:
        async with asyncio.timeout(_LOCK_DEADLINE_S):
            while not await db.fetchval(_TRY_LOCK, _LOCK):  # noqa: ASYNC110 - another process has it, no Event can tell
                await asyncio.sleep(_LOCK_EVERY_S)
    except TimeoutError:
        who = await db.fetchval(_WHO_LOCKS, _LOCK) or "another process"
        raise DatabaseUnavailable(f"The database has been migrated by {who} for {_LOCK_DEADLINE_S:.0f} s.") from None


async def _missing(db: Db, migrations: Sequence[Migration]) -> list[Migration]:
    """Raises BadSettings when what was applied is not what this release knows."""
    if not await db.fetchval(_IS_THERE):
        return list(migrations)
    rows = await db.fetch(_APPLIED)
    known = {one.number: one for one in migrations}
    if newer := [row for row in rows if row["number"] not in known]:
        raise _newer(newer)
    for row in rows:
        if known[row["number"]].digest != row["digest"]:
            raise BadSettings(
                f"{row['name']} was edited after it was applied to this database: a change is a new file."
            )
    applied = {row["number"] for row in rows}
    return [one for one in migrations if one.number not in applied]


def _newer(rows: Sequence[asyncpg.Record]) -> BadSettings:
    names = ", ".join(row["name"] for row in rows)
    by = next((row["release"] for row in reversed(rows) if row["release"]), None)
    return BadSettings(
        f"The database is newer than this release: {names} was applied to it by Innkeeper "
        f"{by or 'of a later release'}, and this is Innkeeper {RELEASE}, which does not know what that changed. "
        f"Nothing was written. Install {by or 'that release'} on this machine too, and start regiond again; going back "
        "needs a backup of the database from before.",
        database_release=by,
        release=RELEASE,
    )


async def _apply_missing(db: Db, migrations: Sequence[Migration]) -> tuple[str, ...]:
    await db.execute(_CREATE_TABLE)
    await db.execute(_ADD_RELEASE)
    missing = await _missing(db, migrations)  # again: another process may have had the lock before
    for batch in _batches(missing):
        if batch[0].outside:
            await _apply(db, batch[0])
        else:
            async with db.transaction():
                for one in batch:
                    await _apply(db, one)
    if missing:
        log.info("database_migrated", applied=[one.name for one in missing], release=RELEASE)
    return tuple(one.name for one in missing)


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
    except (*GONE, asyncpg.InsufficientPrivilegeError):
        log.warning("migration_interrupted", migration=one.name)  # the error says why, and it is made again
        raise
    except asyncpg.PostgresError as error:
        raise BadSettings(
            f"The migration {one.name} of Innkeeper {RELEASE} failed: {error}. It changed nothing, and neither did "
            "those that came with it. Start the release from before again, and report this message.",
            migration=one.name,
        ) from error
    await db.execute(_RECORD, one.number, one.name, one.digest, RELEASE)
    await db.execute(_TELL, MIGRATED_CHANNEL, one.name)
