"""Two regions decide about machines that should run, and one of them is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.deployment.in_process import deployed, second_region
from tests.deployment.runner import REGION
from tests.integration.support.rigs.host_restarts import composed, decided, later, passes, restarted, runs, starts

pytestmark = pytest.mark.database


async def test_two_regions_start_each_machine_once(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.in_process.link_rack_to("rack", one, two)
        machines = await composed(one, "web", "db", "aux")
        await restarted(one, machines[0])
        for _ in range(3):
            await asyncio.gather(decided(one), decided(two))
            await passes(two)
        for machine in machines:
            await runs(two, machine)
        assert sorted(await starts(one)) == ["aux", "db", "web"]


async def test_a_region_that_is_killed_while_it_starts_a_machine_starts_it_once(
    tmp_path: Path, database_url: str
) -> None:
    async with deployed(tmp_path, database_url, killable=True) as innkeeper:
        await innkeeper.start_rack()
        (web,) = await composed(innkeeper, "web")
        await restarted(innkeeper, web)
        await decided(innkeeper)
        with innkeeper.held("power"):
            await later(innkeeper)
            innkeeper.kill(REGION)
        await innkeeper.restart(REGION)
        await runs(innkeeper, web)
        await decided(innkeeper)
        assert await starts(innkeeper) == ["web"]
