"""Two regions decide about machines that should run, and one of them is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from regiond.machines.wanted_power.service import WantedPowers
from tests.deployment.in_process import deployed, second_region
from tests.deployment.runner import REGION
from tests.integration.host_restarts import LATER, composed, restarted, runs, starts

pytestmark = pytest.mark.database


async def test_two_regions_start_each_machine_once(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        await one.in_process.link_rack_to("rack", one, two)
        machines = await composed(one, "web", "db", "aux")
        await restarted(one, machines[0])
        powers = [each.region.components.services.wanted_powers for each in (one, two)]
        for _ in range(3):
            await asyncio.gather(*(each.round() for each in powers if isinstance(each, WantedPowers)))
            for statement in LATER:
                await two.fetch(statement, 3)
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
        powers = innkeeper.region.components.services.wanted_powers
        assert isinstance(powers, WantedPowers)
        await powers.round()
        for statement in LATER:
            await innkeeper.fetch(statement, 3)
        with innkeeper.held("power"):
            await powers.round()
            innkeeper.kill(REGION)
        await innkeeper.restart(REGION)
        await runs(innkeeper, web)
        again = innkeeper.region.components.services.wanted_powers
        assert isinstance(again, WantedPowers)
        await again.round()
        assert await starts(innkeeper) == ["web"]
