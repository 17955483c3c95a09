"""Twenty clients, failing hosts, and every process killed repeatedly: afterwards hosts and ledger agree exactly."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.deployment.deployment import Deployment
from tests.faults.consistency import assert_consistent, delete_all, refresh_hosts, until_no_operation_is_open
from tests.faults.load import Load
from tests.faults.logs import bugs_logged
from tests.faults.soak import HARDWARE, HOSTS
from tests.waiting import eventually

ROUNDS = 5  # each kills every process once
DONE_BETWEEN_KILLS = 35


@pytest.mark.deadline(420)
async def test_hosts_and_ledger_agree_after_many_kills(
    deployment: Deployment,
) -> None:
    await deployment.start()
    host_ids = [
        await deployment.add_host(
            type="simulated", power_address=f"simulated:{name}?{HARDWARE}&fault_seed={seed}", name=name
        )
        for seed, name in enumerate(HOSTS)
    ]
    load = Load(deployment=deployment, host_ids=host_ids)
    load_task = asyncio.create_task(load.run())
    try:
        for _ in range(ROUNDS):
            for victim in ("rack", "region", "postgres"):
                enough = load.done + DONE_BETWEEN_KILLS
                await eventually(partial(load.has_done, enough), deadline_s=60.0)
                assert not load_task.done(), load_task.exception()
                deployment.kill(victim)
                await deployment.restart(victim)
    finally:
        load_task.cancel()
        await asyncio.gather(load_task, return_exceptions=True)
    assert load.bugs == []
    await until_no_operation_is_open(deployment)
    await refresh_hosts(deployment, host_ids)
    await until_no_operation_is_open(deployment)  # removals of leftover guests
    machines = await assert_consistent(deployment)
    await delete_all(deployment, machines)
    await refresh_hosts(deployment, host_ids)
    assert await assert_consistent(deployment) == []
    assert [*bugs_logged(deployment.folder / "region.log"), *bugs_logged(deployment.folder / "rack.log")] == []
