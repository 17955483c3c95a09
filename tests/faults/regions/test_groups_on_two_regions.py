"""Two regions compose machines of one hard anti-affinity group at the same time, and one of them is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.deployment.runner import REGION
from tests.faults.scenarios.scenario import REPEATED
from tests.support.waiting import eventually

HOSTS = ("ant", "bee", "cow")
FIELDS = {"cpu_count": "1", "mem": "1024", "anti_affinity": "apart"}
_COMPOSES = "select count(*) from operation where kind = 'compose'"
_SERVERS = """
    select h.server_id from affinity_membership a
      join machine m on m.id = a.machine_id join vm_host h on h.id = m.host_id
     where a.group_name = 'apart'
"""


async def allocated(region: Deployment, key: str) -> str:
    """Repeats the request until it is answered. Returns the machine's system id, or why there is none."""
    while True:
        try:
            made = await region.send(
                "POST", "machines/", op="allocate", fields=FIELDS, headers={"Idempotency-Key": key}
            )
        except InnkeeperError as error:
            if error.details.get("status") not in REPEATED:
                return error.message
            await asyncio.sleep(0.02)
        else:
            return str(made.json()["system_id"])


@pytest.mark.parametrize("composes", [0, 1, 2])
async def test_a_group_stays_apart_when_a_region_is_killed(tmp_path: Path, database_url: str, composes: int) -> None:
    """The region is killed when so many composes are committed. Of four machines, three find a server."""
    async with deployed(tmp_path, database_url, killable=True) as one, second_region(one) as two:
        await one.in_process.link_rack_to("rack", one, two)
        for name in HOSTS:
            await two.add_simulated(name)
        callers = [
            asyncio.create_task(allocated(region, f"key-{number}"))
            for number, region in enumerate((one, two, one, two))
        ]

        async def committed() -> bool:
            return bool((await two.fetch(_COMPOSES))[0][0] >= composes)

        await eventually(committed, every_s=0.001)
        one.kill(REGION)
        await one.restart(REGION)
        answers = await asyncio.gather(*callers)
        servers = [row[0] for row in await two.fetch(_SERVERS)]
        system_ids = {one["system_id"] for one in await two.get("machines/")}
        (refused,) = {*answers} - system_ids
        assert len(system_ids) == 3
        assert "apart" in refused
        assert len(servers) == len({*servers}) == 3
