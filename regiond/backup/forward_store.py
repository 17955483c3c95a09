"""SQL that moves a restored database on, so that no number is given out again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from regiond.backup.model import AppliedMigration, short_step, step
from regiond.db.pool import Db

_AGE = "select extract(epoch from now() - $1::timestamptz)::float8"
_SEQUENCES = """
    select format('%I.%I', schemaname, sequencename) as name, data_type::text = 'bigint' as is_wide,
           coalesce(last_value, start_value) as last, max_value,
           has_sequence_privilege(format('%I.%I', schemaname, sequencename), 'update') as may_set
      from pg_sequences where schemaname = current_schema() order by 1
"""
_SET_SEQUENCE = "select setval($1::text::regclass, $2)"
_TAKE = "select max(nextval($1::text::regclass)) from generate_series(1, $2::bigint)"
_RECORD = """
    insert into schema_migration (number, name, digest, release, applied_at, usable_from)
    values ($1, $2, $3, $4, $5, $6)
"""
# Processes and links are those of another time. A session that was ended since would be valid again, and so would a
# token of a rack that was used since.
_FORGET = (
    "delete from region_process",
    "delete from rack_reach",
    "delete from web_session",
    "delete from rack_token where used_at is null",
    "delete from released_machine",
)
# Requests that ran at the time of the backup: nobody knows what came of them, and a repeat is told so.
_ABANDON_REQUESTS = "update idempotency_key set lease_ends_at = now() - interval '1 second' where lease_ends_at > now()"
_IMAGES_HERE = "update image set store_id = $1 where host_id is null and sha256 = any($2::text[])"
_IMAGES_WITHOUT_CONTENT = """
    update image set state = 'failed', file_sha256 = null, file_bytes = null,
                     error = 'The database was restored, and the content of the image was not. Add the image again.'
     where state = 'ready' and store_id = $1 and not (sha256 = any($2::text[]))
"""
# Each attempt of an export has a file name of its own, so a file of that name here is that of the row.
_EXPORTS_HERE = "update machine_export set store_id = $1 where state <> 'failed' and file = any($2::text[])"
_EXPORTS_WITHOUT_FILE = """
    update machine_export e
       set state = 'failed', error = 'The database was restored, and backups have no exports. Export the VM again.'
     where e.state in ('ready', 'checking', 'uploading') and e.store_id = $1
       and not exists (select from unnest($2::text[], $3::bigint[]) f (name, size_bytes)
                        where f.name = e.file and (e.state <> 'ready' or f.size_bytes = e.size_bytes))
"""
_EXPORTS_ELSEWHERE = "update machine_export set state = 'checking' where state = 'ready' and store_id <> $1"


async def record_migrations(db: Db, applied: Iterable[AppliedMigration]) -> None:
    """Records what the schema of the backup consists of; the dump does not have these rows."""
    for one in applied:
        await db.execute(_RECORD, one.number, one.name, one.digest, one.release, one.applied_at, one.usable_from)


async def lock_schema(db: Db) -> None:
    """Lets every region that starts wait until the transaction ends."""
    await db.execute("lock table schema_migration in access exclusive mode")


async def forget_migration(db: Db, number: int) -> None:
    await db.execute("delete from schema_migration where number = $1", number)


async def move_sequences(db: Db, backup_at: datetime) -> int:
    """Moves every sequence on by the step of its width, and returns the number of sequences.

    Operations are fencing tokens, events are positions of streams, and ids are in answers that clients have stored.
    Raises BadSettings if the role cannot do that because too much time has passed.
    """
    age_s: float = await db.fetchval(_AGE, backup_at)
    rows = await db.fetch(_SEQUENCES)
    for row in rows:
        if row["may_set"]:
            wanted = row["last"] + step(age_s=age_s, is_wide=row["is_wide"])
            await db.execute(_SET_SEQUENCE, row["name"], min(wanted, row["max_value"]))
        else:  # the role of the region can only take numbers
            taken = min(short_step(age_s=age_s, is_wide=row["is_wide"]), row["max_value"] - row["last"] - 1)
            await db.execute(_TAKE, row["name"], max(taken, 0))
    return len(rows)


async def forget_processes_and_logins(db: Db) -> None:
    for statement in _FORGET:
        await db.execute(statement)
    await db.execute(_ABANDON_REQUESTS)


async def set_images(db: Db, *, before: UUID | None, here: UUID, contents: Collection[str]) -> None:
    """Assigns the images whose `contents` are in this computer's folder to it.

    Those of the folder `before`, that of the backup, without a content here have failed. Others are on other regions.
    """
    await db.execute(_IMAGES_HERE, here, list(contents))
    if before is not None:
        await db.execute(_IMAGES_WITHOUT_CONTENT, before, list(contents))


async def set_exports(db: Db, *, before: UUID | None, here: UUID, files: Mapping[str, int]) -> None:
    """Assigns the exports whose `files`, by name with their size in bytes, are in this computer's folder to it.

    Those of this folder, or of the folder `before`, that of the backup, without such a file have failed. Those of other
    folders are checked by their regions, before they are ready again.
    """
    await db.execute(_EXPORTS_HERE, here, list(files))
    for folder in {here, before} - {None}:
        await db.execute(_EXPORTS_WITHOUT_FILE, folder, list(files), list(files.values()))
    await db.execute(_EXPORTS_ELSEWHERE, here)
