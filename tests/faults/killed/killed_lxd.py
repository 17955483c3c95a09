"""A deployment whose one host is the lab's LXD server: every daemon of it, and LXD, can be killed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

LXD = "lxd"
VICTIMS = (REGION, RACK, LXD)
DURATIONS_S = {"adopt": 0.12, "forget": 0.12, "rotate": 0.6}  # from a request to the end of its operation


@frozen(kw_only=True)
class LxdDeployment:
    deployment: Deployment
    lxd: LxdServer
    host_id: int

    @property
    def path(self) -> str:
        return f"vm-hosts/{self.host_id}/"

    async def kill_and_restart(self, victim: str) -> None:
        if victim == LXD:
            await asyncio.to_thread(self.lxd.restart)
        else:
            self.deployment.kill(victim)
            await self.deployment.restart(victim)

    async def is_ready(self) -> bool:
        host = await self.deployment.poll(self.path)
        return bool(host and host["total"]["cores"])

    async def request_and_kill(self, random_: random.Random, path: str, op: str, **fields: Any) -> None:
        """Kills a random victim at a random moment of the request or its operation.

        The answer may be lost; every operation has succeeded when this returns.
        """
        requested = asyncio.create_task(self.deployment.post(path, op=op, headers=ASYNC, **fields))
        await asyncio.sleep(random_.uniform(0, DURATIONS_S[op]))  # the moment is the fault
        victim = random_.choice(VICTIMS)
        await self.kill_and_restart(victim)
        try:
            await requested
        except InnkeeperError:
            if victim != REGION:
                raise
        await eventually(self.deployment.is_linked)
        for operation in await self.deployment.get("operations/"):
            assert await self.deployment.ended(operation["id"]) == "succeeded", operation


async def lxd_deployment(deployment: Deployment, lxd: LxdServer, **fields: Any) -> LxdDeployment:
    """Starts the deployment and adds the server by a token."""
    await deployment.start()
    token = await asyncio.to_thread(lxd.token, "innkeeper")
    host_id = await deployment.add_host(type="lxd", power_address=lxd.address, password=token, name="lab", **fields)
    made = LxdDeployment(deployment=deployment, lxd=lxd, host_id=host_id)
    await eventually(made.is_ready)
    return made
