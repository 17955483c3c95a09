"""A host that accepts calls and answers none: it becomes suspect while the calls wait, and they say so."""

from __future__ import annotations

import asyncio
from functools import partial

from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment
from tests.integration.reconciler.test_lost_hosts import is_in
from tests.support.clock import in_no_time
from tests.support.waiting import eventually

SECONDS = 55.0  # a probe begins after 5 s and ends after 10 s; the calls themselves would wait for a minute
# The clock of PostgreSQL is not moved: for it, the host was refreshed before the call began.
_REFRESHED_BEFORE = "update vm_host_schedule set refreshed_at = refreshed_at - interval '1 hour' returning host_id"


async def reason_of(innkeeper: Deployment, operation: int) -> str:
    return str((await innkeeper.get(f"operations/{operation}/"))["wait_reason"])


async def test_a_hung_host_becomes_suspect_while_a_call_waits(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    other = await innkeeper.add_simulated("other")
    with innkeeper.held():
        operation = await innkeeper.begin_compose(host["id"], cores=1, memory=1024)
        await innkeeper.wait_for_state(operation, "running")
        await innkeeper.fetch(_REFRESHED_BEFORE)
        async with asyncio.timeout(SECONDS):
            await in_no_time(eventually(partial(is_in, innkeeper, HostState.UNREACHABLE, host["id"])))
        reason = await reason_of(innkeeper, operation)
        assert reason.startswith("It waits for host sim, which is unreachable since ")
        assert "The host has not answered rack rack for " in reason
        placed = await innkeeper.post("vm-hosts/", op="place", cores=1, memory=1024)
        assert placed["chosen_id"] == other["id"]
    await innkeeper.after_refreshes(partial(is_in, innkeeper, HostState.READY, host["id"]))
    assert await innkeeper.ended(operation) == "succeeded"
