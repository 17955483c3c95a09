"""Racks that reach different servers: operations use a rack that reaches the host, or wait for one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.servers.firewall import BEHIND_IT, wall
from tests.lab.servers.lxd_server import LxdServer
from tests.support.administrators import API_KEY_FILE
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.every_product

PREFIX = "iktrust-"
NEAR, FAR = "near", "far"  # NEAR reaches only the first server
SMALL = {"cores": 1, "memory": 1024, "storage": "1"}


async def add(deployment: Deployment, server: LxdServer) -> int:
    token = await asyncio.to_thread(server.token, "innkeeper")
    return await deployment.add_host(
        type="lxd", power_address=server.address, password=token, name=server.name, cpu_over_commit_ratio="10"
    )


async def are(deployment: Deployment, **wanted: tuple[bool, int]) -> bool:
    """`wanted` has for each rack whether it is connected and how many hosts it reaches."""
    racks = await deployment.get("racks/")
    return {rack["name"]: (rack["connected"], rack["hosts_reached"]) for rack in racks} == wanted


async def in_state(deployment: Deployment, path: str, state: str) -> Any:
    found = await deployment.get(path)
    return found if found["state"] == state else None


def composed_by(deployment: Deployment, rack: str) -> int:
    """Returns the number of compose calls that the rack received."""
    lines = map(json.loads, (deployment.folder / f"{rack}.log").read_text().splitlines())
    return sum(line["event"] == "host_call_started" and line["what"] == "compose" for line in lines)


async def typed(deployment: Deployment, *words: str) -> str:
    """Runs the command; returns its output."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(deployment.folder), "LANG": "C.UTF-8"}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "innkeeper", *words, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await program.communicate()
    assert program.returncode == 0
    return out.decode()


async def test_operations_use_reaching_racks_or_wait(
    deployment: Deployment, servers: tuple[LxdServer, LxdServer]
) -> None:
    first, second = servers
    with wall(int(second.address.rpartition(":")[2])):
        deployment.processes.start_postgres()
        await deployment.runner.start_region()
        await deployment.processes.start_rack(NEAR, prefix=BEHIND_IT)
        await deployment.processes.start_rack(FAR)
        here, there = await add(deployment, first), await add(deployment, second)
        await eventually(partial(are, deployment, near=(True, 1), far=(True, 2)))
        for number in range(2):
            await deployment.compose(there, hostname=f"{PREFIX}{number}", **SMALL)
        assert (composed_by(deployment, NEAR), composed_by(deployment, FAR)) == (0, 2)

        deployment.kill(FAR)
        await eventually(partial(are, deployment, near=(True, 1), far=(False, 2)))
        await deployment.compose(here, hostname=f"{PREFIX}here", **SMALL)
        operation_id = await deployment.begin_compose(there, hostname=f"{PREFIX}waits", **SMALL)
        path, host_path = f"operations/{operation_id}/", f"vm-hosts/{there}/"
        operation = await eventually(partial(in_state, deployment, path, "waiting"))
        assert operation["error"]["code"] == "host_unreachable"
        why = f"No connected rack reaches host {second.name}. Disconnected racks that reached it: {FAR} (last seen "
        assert operation["error"]["message"].startswith(why)
        assert f"Rack {NEAR}: Cannot connect to {second.address}" in operation["error"]["message"]
        host = await eventually(partial(in_state, deployment, host_path, "unreachable"))
        assert host["error"]["message"].startswith(why)
        key = (deployment.folder / "state" / API_KEY_FILE).read_text().strip()
        await typed(deployment, "login", "admin", f"http://127.0.0.1:{deployment.processes.http_port}/MAAS/", key)
        assert why in await typed(deployment, "admin", "operation", "read", str(operation_id))
        assert why in await typed(deployment, "admin", "vm-host", "read", str(there))
        assert {name for _, name in second.instances(PREFIX)} == {f"{PREFIX}0", f"{PREFIX}1"}

        await deployment.processes.start_rack(FAR)
        assert await deployment.ended(operation_id) == "succeeded"
        await eventually(partial(in_state, deployment, host_path, "ready"))
        assert {name for _, name in first.instances(PREFIX)} == {f"{PREFIX}here"}
    assert await deployment.ledger_problems() == []
