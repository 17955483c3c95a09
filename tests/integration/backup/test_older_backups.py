"""A backup of the schema before an upgrade: saved as it is, and upgraded by the restore.

The newer release is an imaginary one, with the migrations of `tests/postgresql/later_migrations.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import BadSettings
from regiond.audit.service import Audit
from regiond.backup.model import Contents
from regiond.backup.target import Target
from regiond.commands import backup_commands
from regiond.commands.backup_commands import back_up, restore
from regiond.credentials.master_key import open_master_key
from regiond.db import migrate as migrations
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.installation import open_authority
from tests.postgresql.database import execute, fetchval
from tests.postgresql.later_migrations import LATER, NEWER

pytestmark = pytest.mark.database
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
OLDER, NEXT = packaged(), (*packaged(), *LATER)
_ROWS = """
    insert into account (username) values ('ann');
    insert into machine (uuid, system_id, hostname, state, architecture, cores, memory_mib)
    values (gen_random_uuid(), 'abc', 'web', 'failed_compose', 'amd64', 1, 1024);
"""
_SCHEMA = """
    select jsonb_build_object(
        'migrations', (select jsonb_agg(name order by number) from schema_migration),
        'ratings', to_regclass('rating'),
        'rated', (select count(*) from zone where name = 'rated'),
        'machines', (select jsonb_agg(hostname) from machine))
"""


@pytest.fixture
def newer_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, this process is of the release after the one that made the database."""
    for module in (migrations, backup_commands):
        monkeypatch.setattr(module, "packaged", lambda: NEXT)


async def saved(settings: RegionSettings, path: Path) -> Contents:
    target = Target.open(path)
    try:
        contents = await back_up(settings, None, target.file, PASSPHRASE, {}, images=False)
        target.commit()
    finally:
        target.discard()
    return contents


async def schema_of(dsn: str) -> Any:
    opened = await Database.open(dsn, min_size=1, max_size=1)
    try:
        return await fetchval(opened, _SCHEMA)
    finally:
        await opened.close()


@pytest.mark.slow  # five times 2^18 rounds of scrypt
@pytest.mark.usefixtures("newer_release")
async def test_a_backup_of_an_older_schema_is_upgraded_by_its_restore(
    database: Database, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    settings = RegionSettings(database=database_url, state=tmp_path / "old")
    async with database.transaction() as db:
        await open_authority(db, settings.state)
    open_master_key(settings.state, {}, create=True)
    await execute(database, _ROWS)
    before = await schema_of(database_url)
    contents = await saved(settings, tmp_path / "backup")
    assert [one.name for one in contents.manifest.migrations] == [one.name for one in OLDER]
    assert await schema_of(database_url) == before
    assert (before["ratings"], before["rated"]) == (None, 0)
    new = RegionSettings(database=empty_database_url, state=tmp_path / "new")
    with (tmp_path / "backup").open("rb") as file:
        assert "was restored from a backup" in await restore(new, file, PASSPHRASE, {})
    assert await schema_of(empty_database_url) == {
        "migrations": [one.name for one in NEXT], "ratings": "rating", "rated": 1, "machines": ["web"],
    }  # fmt: skip
    opened = await Database.open(empty_database_url, min_size=1, max_size=1)
    try:
        # A row that a migration inserts has a number beyond those of the backup, like all others.
        assert await fetchval(opened, "insert into zone (name) values ('x') returning id") > 100_000
        assert (await Audit(opened).verify()).problems == ()
    finally:
        await opened.close()


async def test_a_backup_changes_no_schema(database: Database, empty_database_url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="No region has used this database yet"):
        await saved(RegionSettings(database=empty_database_url, state=tmp_path), tmp_path / "backup")
    assert await relations(empty_database_url) == 0


@pytest.mark.needs_owner
async def test_a_backup_of_a_newer_schema_is_refused(database: Database, database_url: str, tmp_path: Path) -> None:
    await migrations.migrate(database_url, (*OLDER, NEWER), release="9.9")
    with pytest.raises(BadSettings, match=r"newer than this release: Innkeeper 9.9 applied 9000_next.sql"):
        await saved(RegionSettings(database=database_url, state=tmp_path), tmp_path / "backup")


async def relations(dsn: str) -> Any:
    opened = await Database.open(dsn, min_size=1, max_size=1)
    try:
        return await fetchval(opened, "select count(*) from pg_tables where schemaname = 'public'")
    finally:
        await opened.close()
