"""Twenty clients, failing hosts, and every process killed repeatedly: afterwards hosts and ledger agree exactly."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.deployment.deployment import Deployment
from tests.faults.consistency import assert_consistent, delete_all, refresh_hosts, settle
from tests.faults.logs import bugs_logged
from tests.faults.soak.load import Load
from tests.faults.soak.soak import VICTIMS, add_failing_hosts
from tests.support.waiting import eventually

ROUNDS = 2  # each kills every process once; `./dev faults --soak` kills for longer
DONE_BETWEEN_KILLS = 35


async def test_hosts_and_ledger_agree_after_many_kills(deployment: Deployment) -> None:
    await deployment.start()
    host_ids = await add_failing_hosts(deployment)
    load = Load(deployment=deployment, host_ids=host_ids)
    load_task = asyncio.create_task(load.run())
    try:
        for _ in range(ROUNDS):
            for victim in VICTIMS:
                enough = load.done + DONE_BETWEEN_KILLS
                await eventually(partial(load.has_done, enough))
                assert not load_task.done(), load_task.exception()
                deployment.kill(victim)
                await deployment.restart(victim)
    finally:
        load_task.cancel()
        await asyncio.gather(load_task, return_exceptions=True)
    assert load.bugs == []
    await settle(deployment, host_ids)
    await assert_consistent(deployment)
    await delete_all(deployment)
    await refresh_hosts(deployment, host_ids)
    assert await assert_consistent(deployment) == []
    assert [*bugs_logged(deployment.folder / "region.log"), *bugs_logged(deployment.folder / "rack.log")] == []
