"""A region whose folder lacks the installation's authority does not start with another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.errors import BadSettings
from regiond.maintenance import use_own_authority
from regiond.settings import RegionSettings
from tests.installation import installed


async def test_a_lost_authority_is_said_and_nothing_is_made_in_its_place(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url):
        pass
    folder = tmp_path / "region" / "authority"
    shutil.rmtree(folder)
    with pytest.raises(BadSettings, match="replace-authority"):
        async with installed(tmp_path, database_url):
            pass
    assert not folder.exists()


async def test_another_authority_is_refused_until_it_is_accepted(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url):
        pass
    shutil.rmtree(tmp_path / "region" / "authority")
    settings = RegionSettings(database=database_url, state=tmp_path / "region")
    fingerprint = await use_own_authority(settings)
    assert len(fingerprint) == 64
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
