"""Twenty people, failing hosts, and every process killed again and again; afterwards everything adds up exactly."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.faults.adding_up import assert_all_adds_up, delete_all, refresh_until_good, until_nothing_is_open
from tests.faults.daemons import Daemons
from tests.faults.load import Load
from tests.faults.logs import bugs_logged
from tests.faults.soak import HARDWARE, HOSTS
from tests.waiting import eventually

ROUNDS = 5  # each kills all three once
DONE_BETWEEN_KILLS = 35


@pytest.mark.deadline(420)
async def test_after_many_deaths_every_guest_has_its_machine_and_every_machine_its_guest(daemons: Daemons) -> None:
    await daemons.start()
    host_ids = [
        await daemons.add_host(
            type="simulated", power_address=f"simulated:{name}?{HARDWARE}&fault_seed={seed}", name=name
        )
        for seed, name in enumerate(HOSTS)
    ]
    load = Load(daemons=daemons, host_ids=host_ids)
    people = asyncio.create_task(load.run())
    try:
        for _ in range(ROUNDS):
            for victim in ("rack", "region", "postgres"):
                enough = load.done + DONE_BETWEEN_KILLS
                await eventually(partial(load.has_done, enough), deadline_s=60.0)
                assert not people.done(), people.exception()
                daemons.kill(victim)
                await daemons.start_again(victim)
    finally:
        people.cancel()
        await asyncio.gather(people, return_exceptions=True)
    assert load.bugs == []
    await until_nothing_is_open(daemons)
    await refresh_until_good(daemons, host_ids)
    await until_nothing_is_open(daemons)  # leftovers that were found
    machines = await assert_all_adds_up(daemons)
    await delete_all(daemons, machines)
    await refresh_until_good(daemons, host_ids)
    assert await assert_all_adds_up(daemons) == []
    assert [*bugs_logged(daemons.folder / "region.log"), *bugs_logged(daemons.folder / "rack.log")] == []
