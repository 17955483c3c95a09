"""Fixtures: a region's HTTP server, and the command with and without a profile for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import stop_listening
from tests.support.waiting import settle
from tests.unit.command.processes import Cli, Ran, finished, started
from tests.unit.support.cli_region import KEY, Region


@pytest.fixture
def region() -> Iterator[Region]:
    created = Region()
    created.start()
    yield created
    settle(stop_listening(created.port))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def cli(home: Path) -> Cli:
    async def run(*words: str, given: str = "") -> Ran:
        return await finished(await started(home, *words), given)

    return run


@pytest.fixture
def logged_in(cli: Cli, region: Region) -> Cli:
    async def login() -> None:
        assert (await cli("login", "admin", region.url, KEY)).status == 0

    settle(login())
    region.seen.clear()
    return cli
