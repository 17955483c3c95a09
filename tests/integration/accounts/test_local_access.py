"""The credential of local commands: a key that the region writes into its state folder at each start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regiond.accounts.local_access import write_local_access
from regiond.accounts.model import ApiKey
from regiond.accounts.service import Accounts
from regiond.db.pool import Database
from regiond.events.service import Events
from tests.support.administrators import add_administrator
from tests.support.waiting import settle

pytestmark = pytest.mark.database
URL = "http://127.0.0.1:5240/MAAS/api/2.0/"


@pytest.fixture
def accounts(database: Database) -> Accounts:
    created = Accounts(database, record_event=Events.record)
    settle(add_administrator(database))
    return created


async def _written(accounts: Accounts, folder: Path) -> ApiKey:
    await write_local_access(accounts, folder, URL)
    path = folder / "local.json"
    assert path.stat().st_mode & 0o777 == 0o600  # one small file
    plain = json.loads(path.read_text())
    assert plain["url"] == URL
    return ApiKey.parse(plain["key"])


async def test_a_region_writes_a_key_that_works(accounts: Accounts, tmp_path: Path) -> None:
    key = await _written(accounts, tmp_path)
    assert (await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)).is_admin


async def test_the_next_start_keeps_a_valid_key_only(accounts: Accounts, tmp_path: Path) -> None:
    first = await _written(accounts, tmp_path)
    assert await _written(accounts, tmp_path) == first
    await accounts.delete_key(await accounts.user("admin"), first.token_key)
    second = await _written(accounts, tmp_path)
    assert second != first
    (tmp_path / "local.json").write_text("{")
    assert await _written(accounts, tmp_path) not in (first, second)


async def test_a_folder_that_cannot_be_written_is_only_logged(accounts: Accounts, tmp_path: Path) -> None:
    await write_local_access(accounts, tmp_path / "missing", URL)
    assert not (tmp_path / "missing").exists()
