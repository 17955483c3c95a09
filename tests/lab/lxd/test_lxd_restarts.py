"""A real LXD server that starts again: what it starts itself, and what it does not."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.host_restarts import later, path, runs, starts
from tests.lab.hosts.test_lxd_hosts import SMALL, add, token_of
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

PREFIX = "ikagain-"


async def test_what_lxd_starts_itself_is_not_started_again(
    servers: tuple[LxdServer, LxdServer], innkeeper: Deployment
) -> None:
    """LXD starts the guests that ran, but not one for which somebody has forbidden it there."""
    server = servers[0]
    with server.restored(PREFIX):
        host = await add(innkeeper, server, password=await token_of(server))
        ran, forbidden = [
            await innkeeper.compose(host["id"], hostname=f"{PREFIX}{name}", power_on="true", **SMALL)
            for name in ("ran", "forbidden")
        ]
        await asyncio.to_thread(server.lxc, "config", "set", f"{PREFIX}forbidden", "boot.autostart", "false")
        processes = [await process(server, machine) for machine in ("ran", "forbidden")]
        await asyncio.to_thread(server.kill)
        with pytest.raises(InnkeeperError):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        for one in processes:
            os.kill(one, signal.SIGKILL)
        await eventually(lambda: not any(Path(f"/proc/{one}").exists() for one in processes))
        await asyncio.to_thread(server.start)
        await eventually(partial(refreshed, innkeeper, host))
        await eventually(partial(is_on_there, server, "ran"))
        assert await innkeeper.refreshed(host["id"])
        await later(innkeeper)
        await later(innkeeper)
        await runs(innkeeper, forbidden)
        assert await starts(innkeeper) == [f"{PREFIX}forbidden"]
        assert (await innkeeper.get(path(ran)))["wanted_power"]["set_by"] == "compose"


async def process(server: LxdServer, name: str) -> int:
    state: Any = await asyncio.to_thread(server.ask, f"/1.0/instances/{PREFIX}{name}/state")
    return int(state["pid"])


async def is_on_there(server: LxdServer, name: str) -> bool:
    state: Any = await asyncio.to_thread(server.ask, f"/1.0/instances/{PREFIX}{name}/state")
    return bool(state["status"] == "Running")


async def refreshed(innkeeper: Deployment, host: Any) -> bool:
    return await innkeeper.refreshed(host["id"])
