"""A host that accepts calls and answers none: it becomes suspect while the calls wait, and they say so."""

from __future__ import annotations

from functools import partial

import pytest

from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment
from tests.integration.test_lost_hosts import is_in
from tests.waiting import eventually

SECONDS = 55.0  # a probe begins after 5 s and ends after 10 s; the calls themselves would wait for a minute


async def reason_of(innkeeper: Deployment, operation: int) -> str:
    return str((await innkeeper.get(f"operations/{operation}/"))["wait_reason"])


@pytest.mark.slow
@pytest.mark.scheduled_refreshes
async def test_a_hung_host_becomes_suspect_while_a_call_waits(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    other = await innkeeper.add_simulated("other")
    with innkeeper.held():
        operation = await innkeeper.begin_compose(host["id"], cores=1, memory=1024)
        await eventually(partial(is_in, innkeeper, HostState.UNREACHABLE, host["id"]), deadline_s=SECONDS)
        reason = await reason_of(innkeeper, operation)
        assert reason.startswith("It waits for host sim, which is unreachable since ")
        assert "The host has not answered rack rack for " in reason
        placed = await innkeeper.post("vm-hosts/", op="place", cores=1, memory=1024)
        assert placed["chosen_id"] == other["id"]
    await eventually(partial(is_in, innkeeper, HostState.READY, host["id"]), deadline_s=SECONDS)
    assert await innkeeper.ended(operation) == "succeeded"
