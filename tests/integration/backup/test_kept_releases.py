"""The database of each kept release is upgraded, and everything in it can be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.api.resources.registry import DOCUMENTED
from regiond.commands.admin_commands import check
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import connect
from regiond.machines.values.states import MachineState
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.postgresql.later_migrations import LATER
from tests.releases.kept import KEPT, Kept

MIGRATIONS = {"1.0.0": 1}  # of each release
ENDLESS = "events/stream"


async def upgraded(kept: Kept, dsn: str, folder: Path) -> None:
    await kept.restore(dsn)
    assert len(await migrate(dsn)) == len(packaged()) - MIGRATIONS[kept.number]
    kept.copy_state(folder / "region")


async def answers(region: Deployment, paths: list[str]) -> dict[str, Any]:
    """The JSON of each path; fails with all that are not answered with 200."""
    found, failed = {}, {}
    for path in paths:
        try:
            found[path] = await region.get(path)
        except InnkeeperError as error:
            failed[path] = str(error)
    assert failed == {}
    return found


def paths_of(listed: Any) -> list[str]:
    """The paths of the listed objects that have one."""
    objects = listed if isinstance(listed, list) else []
    return [one["resource_uri"].partition("/api/2.0/")[2] for one in objects if "resource_uri" in one]


@pytest.mark.parametrize("kept", KEPT, ids=str)
async def test_imaginary_later_migrations_keep_the_rows(kept: Kept, empty_database_url: str) -> None:
    await kept.restore(empty_database_url)
    later = (*packaged(), *LATER)
    assert len(await migrate(empty_database_url, later)) == len(later) - MIGRATIONS[kept.number]
    db = await connect(empty_database_url, application_name="test")
    assert await db.fetchval("select count(*) from machine") > len(MachineState)
    await db.close()


@pytest.mark.slow
@pytest.mark.parametrize("kept", KEPT, ids=str)
async def test_everything_of_a_kept_release_can_be_read(kept: Kept, empty_database_url: str, tmp_path: Path) -> None:
    await upgraded(kept, empty_database_url, tmp_path)
    async with deployed(tmp_path, empty_database_url, checked=False) as region:
        readable = [one for one in DOCUMENTED if not one.params and one.path != ENDLESS]
        lists = sorted(one.path for one in readable if any(get.method == "GET" and not get.op for get in one.endpoints))
        found = await answers(region, lists)
        await answers(region, sorted({path for listed in found.values() for path in paths_of(listed)}))
        states = Counter(one["hostname"] for one in found["machines/"])
        assert {f"vm-{state.value.replace('_', '-')}" for state in MachineState} <= states.keys()
        assert {one["username"] for one in found["users/"]} >= {"admin", "ann", "bob"}
        assert {one["name"] for one in found["vm-hosts/"]} == {"ant", "bee", "cow", "foreign"}
        assert len(found["operations/"]) > 15
        assert await check(region.in_process.settings) == []
        await region.start_rack("another")  # its authority and its keys are those of the release
        await region.add_simulated("new")
        await region.compose(region.hosts["new"], hostname="after", cores=1, memory=1024)
