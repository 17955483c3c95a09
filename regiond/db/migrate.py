"""Upgrades the schema: applies numbered SQL files, each exactly once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence

import asyncpg
import structlog
from attrs import frozen

from common.errors import BadSettings, DatabaseUnavailable
from common.release import running_release
from regiond.db.errors import LOST, translating_errors
from regiond.db.history import ServerHistory
from regiond.db.migration_files import CREATE_TABLE, UNFINISHED_RESTORE, Migration, packaged
from regiond.db.pool import Db, Row, connect
from regiond.db.privileges import check_not_lent, check_owner, grant

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MIGRATION_LOCK = 0x1_4E4B_4545  # advisory lock; an arbitrary number that Innkeeper uses for nothing else
LOCK_DEADLINE_S = 120.0
_LOCK_EVERY_S = 0.05
_TABLES_EVERY_S = 0.5

# Notified when files were applied: a region that does not know them must not write any more.
MIGRATED_CHANNEL = "schema_migrated"

_TRY_LOCK = "select pg_try_advisory_lock($1)"
_LOCK_HOLDER = """
    select format('database process %s (%s, from %s, since %s UTC)', a.pid, a.application_name,
                  coalesce(host(a.client_addr), 'the database server'),
                  to_char(a.backend_start at time zone 'UTC', 'HH24:MI:SS'))
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database
                                                                     where datname = current_database())
       and (l.classid::bigint << 32) + l.objid::bigint = $1
"""
# Regions of the older release still work. Their transactions begin with a host or a machine, and end with events: locks
# of all tables in that order, before the first file, make a deadlock rare. PostgreSQL ends an autovacuum that is in the
# way after its deadlock_timeout of 1 s. With less than twice that, a deadlock ends this transaction and not a region's.
_LOCK_TABLES = """
    do $$
    declare
        one regclass;
    begin
        set local lock_timeout = '1500ms';
        for one in select oid from pg_class
                    where relnamespace = current_schema()::regnamespace and relkind = 'r'
                      and relname <> 'schema_migration' and has_table_privilege(oid, 'truncate')
                    order by relname = 'event', relname not in ('vm_host', 'machine'), relname loop
            execute format('lock table %s in access exclusive mode', one);
        end loop;
    end $$
"""
# A file after which older regions continue must not disturb them: it locks only the table that it changes, and what it
# waits for, regions wait for. So it soon gives way, and is tried again; later it waits until autovacuum is ended.
_GIVE_WAY = "set local lock_timeout = '{timeout_ms}ms'"
_LOCK_MS, _PATIENT_LOCK_MS, _BRIEF_TRIES = 100, 1500, 60
_OLDEST_TRANSACTION = """
    select format('database process %s (%s, since %s UTC)', pid, application_name,
                  to_char(xact_start at time zone 'UTC', 'HH24:MI:SS'))
      from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
     order by xact_start limit 1
"""
_IN_USE = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_HAS_TABLE = "select to_regclass('schema_migration') is not null"
UNFINISHED = (
    "A restore into this database has not ended. If none runs, it was interrupted: delete the database, then "
    "repeat `innkeeper region init --for-restore` and `innkeeper region restore`."
)
_HAS_TABLES_OF_A_BACKUP = "select to_regclass('installation') is not null"  # a migration and its row commit together
_APPLIED = """
    select number, name, digest, release, coalesce(usable_from, number) as usable_from
      from schema_migration order by number
"""
_RECORD = """
    insert into schema_migration (number, name, digest, release, usable_from) values ($1, $2, $3, $4, $5)
"""
_NOTIFY = "select pg_notify($1, $2)"
# If the migrating process dies, the server also ends a statement that runs within seconds, and releases the lock.
_FAST_DISCONNECT = {"client_connection_check_interval": "2s"}


@frozen(kw_only=True)
class _Step:
    """`release` applies the files; `grant_to` may use their tables, None: their owner is the region's role."""

    release: str
    grant_to: str | None


class _FailedFile(Exception):
    """PostgreSQL rejects the statements of the file; its error is the cause."""

    def __init__(self, file: Migration) -> None:
        super().__init__(file.name)
        self.file = file


async def migrate(
    dsn: str,
    migrations: Sequence[Migration] | None = None,
    *,
    release: str | None = None,
    lock_deadline_s: float = LOCK_DEADLINE_S,
    grant_to: str | None = None,
    history: ServerHistory | None = None,
) -> tuple[str, ...]:
    """Applies the missing files and returns their names. Idempotent; safe from many processes at once.

    It records `release`, the running one by default, as the one that applied them. `grant_to`: the role of regions
    where it does not own the tables; it gets its rights in the same transaction.

    Consecutive files after which older regions stop share one transaction; each other file has its own. After a kill at
    any time, the next call continues with the first file whose transaction did not end. If nothing is missing, it
    writes nothing and waits for nothing, so a read-only database suffices.

    Raises BadSettings if a file fails (the message names it), was edited after it was applied, if a newer release has
    made the database unusable for this one, if the role may not change it, or if it has the rights of a restore. Raises
    DatabaseUnavailable if the database cannot be reached or written, if another process holds the migration lock for
    `lock_deadline_s`, or if others use the tables for as long.
    """
    known = packaged() if migrations is None else migrations
    connection = await connect(dsn, application_name="innkeeper-migrate", settings=_FAST_DISCONNECT, history=history)
    try:
        with translating_errors(connection):
            missing = await missing_migrations(connection, known)
            await check_not_lent(connection)
            if not missing:
                return ()
            await check_owner(connection)
            await _lock(connection, lock_deadline_s)
            step = _Step(release=release or running_release(), grant_to=grant_to)
            return await _apply_missing(connection, known, step, lock_deadline_s)
    finally:
        await connection.close(timeout=10.0)  # also releases the lock


async def check_schema_version(db: Db, migrations: Sequence[Migration] | None = None) -> None:
    """Raises BadSettings if a newer release has made the schema unusable, or if an applied file differs."""
    await missing_migrations(db, migrations)


async def has_schema(db: Db) -> bool:
    """Returns whether any release has ever migrated the database."""
    found: bool = await db.fetchval(_HAS_TABLE)
    return found


async def schema_problem(db: Db, migrations: Sequence[Migration] | None = None) -> str | None:
    """Returns why this release cannot use the schema: newer, older (a restored backup) or edited; None if it can."""
    try:
        missing = await missing_migrations(db, migrations)
    except BadSettings as error:
        return error.message
    if missing:
        return f"The database lacks {', '.join(one.name for one in missing)}. Restart this region to apply them."
    return None


async def _lock(db: Db, deadline_s: float) -> None:
    """Polls instead of waiting, since `create index concurrently` waits for every statement that waits for a lock."""
    try:
        async with asyncio.timeout(deadline_s):
            while not await db.fetchval(_TRY_LOCK, MIGRATION_LOCK):  # noqa: ASYNC110 - another process holds it
                await asyncio.sleep(_LOCK_EVERY_S)
    except TimeoutError:
        holder = await db.fetchval(_LOCK_HOLDER, MIGRATION_LOCK) or "another process"
        raise DatabaseUnavailable(
            f"The migration of the database is still locked after {deadline_s:.0f} s, by {holder}."
        ) from None


async def missing_migrations(db: Db, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Returns the files that this release would apply. Raises BadSettings if it cannot use the schema at all."""
    files = packaged() if migrations is None else migrations
    if not await has_schema(db):
        return list(files)
    rows = await db.fetch(_APPLIED)
    # Read again: another process may have committed tables and rows since.
    if not rows and await db.fetchval(_HAS_TABLES_OF_A_BACKUP) and not (rows := await db.fetch(_APPLIED)):
        raise BadSettings(UNFINISHED)  # interrupted before it recorded the migrations
    known = {one.number: one for one in files}
    for row in rows:
        if row["number"] in known and known[row["number"]].digest != row["digest"]:
            raise BadSettings(
                f"{row['name']} was edited after it was applied to this database. Databases of checkouts before "
                "release 1.0 are not upgraded: use an empty one (`./dev run`: delete its state folder). If you changed "
                "the file, undo that and add a new file."
            )
    newest = max(known, default=0)
    if newer := [row for row in rows if row["number"] not in known and row["usable_from"] > newest]:
        raise _newer(newer)
    applied = {row["number"] for row in rows}
    return [one for one in files if one.number not in applied]


def _newer(rows: Sequence[Row]) -> BadSettings:
    if rows[-1]["number"] == UNFINISHED_RESTORE.number:
        return BadSettings(UNFINISHED)
    names = ", ".join(row["name"] for row in rows)
    newer = rows[-1]["release"]
    return BadSettings(
        f"The database is newer than this release: Innkeeper {newer} applied {names}, which Innkeeper "
        f"{running_release()} does not know. Nothing was written. Install {newer} or a newer release on this computer "
        "and start regiond again. Going back requires a backup of the database from before the upgrade.",
        database_release=newer,
        release=running_release(),
    )


async def _apply_missing(db: Db, migrations: Sequence[Migration], step: _Step, deadline_s: float) -> tuple[str, ...]:
    await db.execute(CREATE_TABLE)
    missing = await missing_migrations(db, migrations)  # again, since another process may have held the lock before
    applied: list[Migration] = []
    for batch in _batches(missing):
        try:
            await _apply_when_unused(db, batch, step, deadline_s)
        except _FailedFile as failed:
            raise BadSettings(
                f"The migration {failed.file.name} of Innkeeper {step.release} failed: {failed.__cause__}. "
                f"{_after_failure(applied)} this message.",
                migration=failed.file.name,
            ) from failed.__cause__
        applied += batch
    if missing:
        log.info("database_migrated", applied=[one.name for one in missing], release=step.release)
    return tuple(one.name for one in missing)


async def _apply_when_unused(db: Db, batch: Sequence[Migration], step: _Step, deadline_s: float) -> None:
    """Repeats the batch while the tables are in use by others, or after a deadlock with them."""
    ends_at = time.monotonic() + deadline_s
    for attempt in itertools.count():
        lock = _LOCK_TABLES
        if batch[0].lets_regions_continue:
            lock = _GIVE_WAY.format(timeout_ms=_LOCK_MS if attempt < _BRIEF_TRIES else _PATIENT_LOCK_MS)
        try:
            return await _apply_batch(db, batch, step, lock)
        except _IN_USE as error:
            if attempt % 10 == 0:
                log.info("migration_waits_for_tables", reason=str(error))
            if time.monotonic() > ends_at:
                user = await db.fetchval(_OLDEST_TRANSACTION) or "others"
                raise DatabaseUnavailable(
                    f"The tables of the database were in use for {deadline_s:.0f} s, so it was not migrated; the "
                    f"oldest transaction is that of {user}. Stop older regions and backups, and try again."
                ) from error
        await asyncio.sleep(_TABLES_EVERY_S)


async def _apply_batch(db: Db, batch: Sequence[Migration], step: _Step, lock: str) -> None:
    if batch[0].outside_transaction:
        return await _apply(db, batch[0], step.release)
    async with db.transaction():
        await db.execute(lock)
        for one in batch:
            await _apply(db, one, step.release)
        if step.grant_to is not None:
            await grant(db, step.grant_to)


def _batches(missing: Iterable[Migration]) -> list[list[Migration]]:
    """Groups the files by transaction; one outside a transaction, or with which regions continue, is alone."""
    batches: list[list[Migration]] = []
    for one in missing:
        if batches and not one.is_alone and not batches[-1][0].is_alone:
            batches[-1].append(one)
        else:
            batches.append([one])
    return batches


def _after_failure(applied: Sequence[Migration]) -> str:
    """Returns what the transactions before the failed one have changed, and what to do, up to "this message"."""
    if not applied:
        return "Nothing was changed. Start the previous release again and report"
    files = f"{', '.join(one.name for one in applied)} {'was' if len(applied) == 1 else 'were'} applied"
    if all(one.usable_from < applied[0].number for one in applied):
        return f"Before it, {files}, with which the previous release continues. Start that again and report"
    return (
        f"Before it, {files}, with which the previous release cannot work: going back requires a backup of the "
        "database from before the upgrade. Report"
    )


async def _apply(db: Db, one: Migration, release: str) -> None:
    try:
        await db.execute(one.sql)
    except (*LOST, *_IN_USE, asyncpg.InsufficientPrivilegeError):
        log.warning("migration_interrupted", migration=one.name)
        raise
    except asyncpg.PostgresError as error:
        raise _FailedFile(one) from error
    await db.execute(_RECORD, one.number, one.name, one.digest, release, one.usable_from)
    await db.execute(_NOTIFY, MIGRATED_CHANNEL, one.name)
