"""Processes are killed during a compose, at moments that the real sample of the crash matrix does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rackd.drivers.simulated.fault_injection import Call
from tests.deployment.deployment import Deployment
from tests.deployment.runner import POSTGRES, RACK, REGION
from tests.faults.scenarios.cell_hosts import FOREIGN
from tests.support.waiting import eventually

HOST = "sim"
ADDRESS = f"simulated:{HOST}?cores=8&memory_mib=16384"
HELD: dict[str, Call] = {"called": "find existing guest", "half_done": "define guest"}  # where the compose stops


@asynccontextmanager
async def composing(
    deployment: Deployment, moment: str, *, hostname: str = "survivor", address: str = ADDRESS
) -> AsyncIterator[int]:
    """The id of a compose that has reached `moment` and stays there until the block ends."""
    host_id = await deployment.add_host(type="simulated", power_address=address, name=HOST)
    with deployment.held(HELD[moment], name=HOST):
        operation_id = await deployment.begin_compose(host_id, cores=1, memory=1024, hostname=hostname)
        await eventually(lambda: deployment.processes.has_begun("compose"))
        if moment == "half_done":
            await eventually(deployment.simulated(HOST).volume_names)
        yield operation_id


async def test_a_compose_survives_the_kill_of_everything(deployment: Deployment) -> None:
    await deployment.start()
    async with composing(deployment, "half_done") as operation_id:
        for victim in (RACK, REGION, POSTGRES):
            deployment.kill(victim)
    for victim in (POSTGRES, REGION, RACK):
        await deployment.restart(victim)
    assert await deployment.ended(operation_id) == "succeeded"
    assert deployment.simulated_guests(HOST) == ["survivor"]
    assert len(deployment.simulated(HOST).volume_names()) == 1
    assert [machine["hostname"] for machine in await deployment.get("machines/")] == ["survivor"]
    assert await deployment.ledger_problems() == []


async def test_a_rejected_compose_leaves_nothing_if_the_region_is_killed(deployment: Deployment) -> None:
    await deployment.start()
    with_guest = f"{ADDRESS}&guests=1"
    async with composing(deployment, "called", hostname=FOREIGN, address=with_guest) as operation_id:
        deployment.kill(REGION)
    await deployment.restart(REGION)
    assert await deployment.ended(operation_id) == "failed"
    assert deployment.simulated_guests(HOST) == [FOREIGN]
    assert await deployment.get("machines/") == []
    assert await deployment.ledger_problems() == []
