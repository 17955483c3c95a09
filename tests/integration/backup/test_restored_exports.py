"""Exports after a restore: a backup has none, so only those are ready whose files are there."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from regiond.db.pool import Database
from regiond.images.content import ContentFolder
from regiond.process.settings import RegionSettings
from regiond.wiring.images import EXPORTS, FOLDER
from tests.integration.backup.test_restore import backed_up, restored
from tests.postgresql.database import execute, fetchval

pytestmark = [pytest.mark.database, pytest.mark.needs_owner]
HERE, ELSEWHERE = uuid4(), uuid4()
_ROWS = f"""
    insert into machine_export (name, state, store_id, file, size_bytes, expires_at)
    select name, state, store_id::uuid, name || '.tar', 5, now() + interval '1 day'
      from (values ('lost', 'ready', '{HERE}'), ('brought', 'ready', '{HERE}'), ('cut', 'ready', '{HERE}'),
                   ('begun', 'uploading', '{HERE}'), ('checked', 'checking', '{HERE}'),
                   ('other', 'ready', '{ELSEWHERE}')) one (name, state, store_id)
"""  # noqa: S608  constants
_FOUND = "select jsonb_object_agg(name, jsonb_build_array(state, store_id, error <> '')) from machine_export"


@pytest.fixture
def settings(empty_database_url: str, tmp_path: Path) -> RegionSettings:
    """Of the new machine."""
    return RegionSettings(database=empty_database_url, state=tmp_path / "new")


async def test_an_export_without_its_file_is_not_ready_after_a_restore(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    await execute(database, _ROWS)
    path = await backed_up(database, database_url, tmp_path, store_id=str(HERE))
    exports = settings.state / FOLDER / EXPORTS
    exports.mkdir(parents=True)
    (exports / "brought.tar").write_bytes(b"12345")  # somebody copied it from the folder of then
    (exports / "cut.tar").write_bytes(b"123")
    await restored(settings, path)
    here = str(ContentFolder.open(settings.state / FOLDER).store_id)
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        found = await fetchval(opened, _FOUND)
    finally:
        await opened.close()
    failed = ["failed", str(HERE), True]
    assert found == {
        "lost": failed, "begun": failed, "checked": failed, "cut": ["failed", here, True],
        "brought": ["ready", here, False], "other": ["checking", str(ELSEWHERE), False],
    }  # fmt: skip
