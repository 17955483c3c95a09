"""Region, rack or LXD is killed four times each, at random moments: no orphan, no duplicate, no lost machine."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.deployment.deployment import Deployment
from tests.faults.conftest import PREFIX
from tests.faults.killed.killed_lxd import VICTIMS, LxdDeployment, lxd_deployment
from tests.lab.servers.lxd_server import LxdServer

pytestmark = [pytest.mark.lab, pytest.mark.every_product]

SEED = 20261120
ROUNDS = 4  # each kills every process once; `./dev faults --soak --real` kills for longer


async def begin(on: LxdDeployment, random_: random.Random, number: int) -> int:
    """The operation of a compose, or of the deletion of an existing machine."""
    machines = [machine for machine in await on.deployment.get("machines/") if machine["status_name"] == "Ready"]
    if machines and random_.random() < 0.4:
        return await on.deployment.begin(f"machines/{random_.choice(machines)['system_id']}/", method="DELETE")
    return await on.deployment.begin_compose(
        on.host_id, cores=1, memory=1024, hostname=f"{PREFIX}{number}", storage="1,1"
    )


async def test_after_many_kills_lxd_has_exactly_the_machines(deployment: Deployment, lxd: LxdServer) -> None:
    random_ = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    volumes_before = await asyncio.to_thread(lxd.volumes)
    on = await lxd_deployment(deployment, lxd, cpu_over_commit_ratio="10")
    outcomes: list[tuple[str, str]] = []
    for number, victim in enumerate(VICTIMS * ROUNDS):
        operation_id = await begin(on, random_, number)
        await asyncio.sleep(random_.uniform(0, 0.25))  # the moment is the fault
        await on.kill_and_restart(victim)
        outcomes.append((victim, await deployment.ended(operation_id)))
    assert {ended for _, ended in outcomes} == {"succeeded"}, outcomes
    machines = await deployment.get("machines/")
    assert {machine["status_name"] for machine in machines} <= {"Ready"}
    instances = await asyncio.to_thread(lxd.instances, PREFIX)
    assert sorted(name for _, name in instances) == sorted(machine["hostname"] for machine in machines)
    added = await asyncio.to_thread(lxd.volumes) - volumes_before
    assert len(added) == len(machines), "one more volume for each machine"
    assert await deployment.ledger_problems() == []
