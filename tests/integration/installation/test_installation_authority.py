"""A region starts only with the authority and the master key of its installation, and creates no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.errors import BadSettings
from regiond.commands.admin_commands import rewrap_secrets, use_own_authority
from regiond.process.settings import RegionSettings
from tests.deployment.in_process import deployed


async def test_a_lost_authority_is_reported_and_not_replaced(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url):
        pass
    folder = tmp_path / "region" / "authority"
    shutil.rmtree(folder)
    with pytest.raises(BadSettings, match="replace-authority"):
        async with deployed(tmp_path, database_url):
            pass
    assert not folder.exists()


async def test_a_lost_master_key_is_reported_and_not_replaced(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url):  # without any host, so the database has no secret yet
        pass
    key = tmp_path / "region" / "secrets.key"
    kept = key.rename(tmp_path / "backup")
    with pytest.raises(BadSettings, match=r"copy .* from another region, or restore it from a backup"):
        async with deployed(tmp_path, database_url):
            pass
    with pytest.raises(BadSettings, match="No other key was created"):
        await rewrap_secrets(RegionSettings(database=database_url, state=key.parent), tmp_path / "new.key", {})
    assert {path.name for path in key.parent.glob("*secrets*")} == set()
    assert not (tmp_path / "new.key").exists()

    kept.rename(key)
    async with deployed(tmp_path, database_url):
        pass


async def test_another_authority_works_after_replace_authority(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url):
        pass
    shutil.rmtree(tmp_path / "region" / "authority")
    settings = RegionSettings(database=database_url, state=tmp_path / "region")
    fingerprint = await use_own_authority(settings)
    assert len(fingerprint) == 64
    async with deployed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
