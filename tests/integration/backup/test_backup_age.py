"""The age of the last backup of the region: what records it, who reads it, and when it needs attention."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from regiond.attention.model import AttentionLimits
from regiond.attention.store import count
from regiond.backup.model import BackupFailed
from regiond.backup.store import record_backup
from regiond.commands.backup_commands import back_up
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.postgresql.database import execute, fetchval

PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
NOW = datetime.now(UTC)


async def attention(innkeeper: Deployment) -> list[str]:
    return [one["text"] for one in await innkeeper.get("attention/?kind=backup_old")]


@pytest.mark.slow
async def test_a_complete_backup_is_recorded(innkeeper: Deployment, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    with (tmp_path / "backup").open("w+b") as file:
        contents = await back_up(innkeeper.in_process.settings, None, file, PASSPHRASE, {}, images=False)
    (row,) = await sql(innkeeper, "select saved_at, read_back from region_backup")
    assert (row["saved_at"], row["read_back"]) == (contents.manifest.created_at, True)
    assert row["saved_at"] >= before


@pytest.mark.slow
async def test_a_backup_that_fails_is_not_recorded(innkeeper: Deployment) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(BackupFailed, match="The disk is full"):
        await back_up(innkeeper.in_process.settings, None, Full(), PASSPHRASE, {}, images=False)
    assert await sql(innkeeper, "select from region_backup") == []


async def test_the_newest_backup_counts(database: Database) -> None:
    async with database.transaction() as db:
        await record_backup(db, NOW, read_back=True)
        await record_backup(db, NOW - timedelta(hours=1), read_back=False)
    assert await fetchval(database, "select saved_at from region_backup") == NOW


async def test_a_database_of_an_older_release_has_no_place_for_it(database: Database) -> None:
    async with database.transaction(dry_run=True) as db:
        await db.execute("drop table region_backup")
        await record_backup(db, NOW, read_back=True)


async def test_an_old_backup_needs_attention(innkeeper: Deployment) -> None:
    assert await attention(innkeeper) == []
    await sql(innkeeper, "insert into region_backup values (true, '2026-01-02 03:04:05+00', true)")
    (text,) = await attention(innkeeper)
    assert text.startswith(
        "The region has no backup of the last 2 days. The last complete one has the data of 2026-01-02 03:04 UTC."
    )


async def test_a_region_that_never_made_a_backup_needs_attention(innkeeper: Deployment) -> None:
    await sql(innkeeper, "update installation set created_at = now() - interval '3 days'")
    (text,) = await attention(innkeeper)
    assert text == "The region has no backup of the last 2 days. None was ever completed."


async def test_a_region_from_which_no_backup_is_expected_needs_no_attention(database: Database) -> None:
    await execute(database, "insert into region_backup values (true, '2026-01-02', true)")
    async with database.connection() as db:
        assert await count(db, AttentionLimits(backup_within_hours=0)) == {}
        assert len(await count(db, AttentionLimits(backup_within_hours=24))) == 1
