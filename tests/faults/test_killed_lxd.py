"""Region, rack or a real LXD killed at twenty seeded moments: no orphan, no duplicate, no lost machine."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.faults.conftest import PREFIX
from tests.faults.daemons import Daemons
from tests.lab.lxd_server import LxdServer
from tests.waiting import eventually

pytestmark = pytest.mark.lab

SEED = 20261120
KILLS = 20


async def is_ready(daemons: Daemons, host_id: int) -> bool:
    host = await daemons.get(f"vm-hosts/{host_id}/")
    return bool(host and host["total"]["cores"])


async def begin(daemons: Daemons, host_id: int, chance: random.Random, number: int) -> int:
    """A compose, or the deletion of a machine that is there: the operation goes on by itself."""
    machines = [machine for machine in await daemons.get("machines/") if machine["status_name"] == "Ready"]
    if machines and chance.random() < 0.4:
        path = f"machines/{chance.choice(machines)['system_id']}/"
        answer = await daemons.api.send("DELETE", path, headers={"Prefer": "respond-async"})
        return int(answer.json()["id"])
    hostname = f"{PREFIX}{number}"
    return await daemons.begin_compose(host_id, cores=1, memory=1024, hostname=hostname, storage="1,1")


async def kill_and_start(daemons: Daemons, lxd: LxdServer, victim: str) -> None:
    if victim == "lxd":
        await asyncio.to_thread(lxd.restart)
    else:
        daemons.kill(victim)
        await daemons.start_again(victim)


@pytest.mark.deadline(300)
async def test_twenty_kills_leave_exactly_the_machines_that_are_told(daemons: Daemons, lxd: LxdServer) -> None:
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    volumes_before = await asyncio.to_thread(lxd.volumes)
    await daemons.start()
    token = await asyncio.to_thread(lxd.token, "innkeeper")
    host_id = await daemons.add_host(
        type="lxd", power_address=lxd.address, password=token, name="inn", cpu_over_commit_ratio="10"
    )
    await eventually(lambda: is_ready(daemons, host_id), deadline_s=30)
    outcomes: list[tuple[str, str]] = []
    for number in range(KILLS):
        victim = chance.choice(["region", "rack", "lxd"])
        operation_id = await begin(daemons, host_id, chance, number)
        await asyncio.sleep(chance.uniform(0, 0.25))  # the moment is the fault that is made here
        await kill_and_start(daemons, lxd, victim)
        outcomes.append((victim, await daemons.ended(operation_id)))
    assert {ended for _, ended in outcomes} == {"succeeded"}, outcomes
    told: Any = await daemons.get("machines/")
    assert {machine["status_name"] for machine in told} <= {"Ready"}
    there = await asyncio.to_thread(lxd.instances, PREFIX)
    assert sorted(name for _, name in there) == sorted(machine["hostname"] for machine in told)
    added = await asyncio.to_thread(lxd.volumes) - volumes_before
    assert len(added) == len(told), "one further disk for each machine, and none beside"
    assert await daemons.ledger_faults() == []
