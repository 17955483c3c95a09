"""SQL of backups and of what a restore checks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from regiond.backup.model import AppliedMigration, SavedImage
from regiond.db.pool import Db

MIGRATIONS = "schema_migration"
_INSTALLATION = "select id::text, authority_fingerprint, sealed_request_key from installation"
_APPLIED = "select number, name, digest, release, applied_at, usable_from from schema_migration order by number"
_IMAGES = """
    select name, architecture, sha256, size_bytes from image where state = 'ready' and host_id is null order by id
"""
_COUNTS = """
    select (select count(*) from vm_host) as vm_host, (select count(*) from machine) as machine,
           (select count(*) from account) as account, (select count(*) from operation) as operation,
           (select count(*) from rack) as rack, (select count(*) from image) as image
"""
_RECORD = """
    insert into region_backup (saved_at, read_back) values ($1, $2)
        on conflict (single) do update set saved_at = excluded.saved_at, read_back = excluded.read_back
     where region_backup.saved_at < excluded.saved_at
"""
_CAN_RECORD = "select to_regclass('region_backup') is not null"


async def export_snapshot(db: Db) -> str:
    """Returns the name of the transaction's snapshot, with which `pg_dump` shows the same state."""
    name: str = await db.fetchval("select pg_export_snapshot()")
    return name


async def server_version(db: Db) -> str:
    """Returns such as `15.8`, without the words that distributions add."""
    found: str = await db.fetchval("select current_setting('server_version')")
    return found.split(maxsplit=1)[0]


async def installation(db: Db) -> tuple[str, str | None, bytes | None]:
    """Returns id, fingerprint of the authority, and a sealed secret that only the right master key opens."""
    (row,) = await db.fetch(_INSTALLATION)
    return row["id"], row["authority_fingerprint"], row["sealed_request_key"]


async def applied_migrations(db: Db) -> tuple[AppliedMigration, ...]:
    return tuple(AppliedMigration(**row) for row in await db.fetch(_APPLIED))


async def counts(db: Db) -> dict[str, int]:
    """Returns the number of rows by table."""
    (row,) = await db.fetch(_COUNTS)
    return dict(row)


async def images(db: Db, *, included: Iterable[str]) -> tuple[SavedImage, ...]:
    """Returns the images that the region has. `included`: hashes of those whose content the backup holds."""
    held = frozenset(included)
    return tuple(SavedImage(**row, included=row["sha256"] in held) for row in await db.fetch(_IMAGES))


async def record_backup(db: Db, saved_at: datetime, *, read_back: bool) -> None:
    """Records a complete backup, unless a newer one is recorded. A database of an older release has no place for it."""
    if await db.fetchval(_CAN_RECORD):
        await db.execute(_RECORD, saved_at, read_back)
