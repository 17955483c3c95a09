"""Credentials of a real LXD server rotate while racks use it, without interruption."""

from __future__ import annotations

import asyncio

import pytest

from tests.deployment.deployment import Deployment
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.deployed_host import add_lxd

pytestmark = pytest.mark.every_product

PREFIX = "iktrust-"  # the `servers` fixture removes everything with this prefix
WORKERS, ROTATIONS = 3, 4


async def compose_repeatedly(innkeeper: Deployment, host_id: int, number: int, done: asyncio.Event) -> None:
    """Composes, starts, refreshes and deletes machines, one after the other."""
    while not done.is_set():
        composed = await innkeeper.compose(host_id, hostname=f"{PREFIX}{number}", cores=1, memory=1024, storage="1,1")
        machine = f"machines/{composed['system_id']}/"
        assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
        assert (await innkeeper.delete(machine)).status == 204


async def test_rotations_never_fail_concurrent_operations(
    servers: tuple[LxdServer, LxdServer], innkeeper: Deployment
) -> None:
    server = servers[0]
    host = await add_lxd(innkeeper, server, cpu_over_commit_ratio="10")
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            group.create_task(compose_repeatedly(innkeeper, host["id"], number, done))
        for _ in range(ROTATIONS):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
        done.set()
    assert {one["state"] for one in await innkeeper.get("operations/")} == {"succeeded"}
    assert (server.instances(""), server.volumes()) == (set(), set())
    assert len(await asyncio.to_thread(server.trusted)) == 1
