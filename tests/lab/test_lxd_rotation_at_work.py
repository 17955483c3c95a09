"""Credentials of a real LXD server rotate while racks work with it: nothing is interrupted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.installation import Installation, installed
from tests.lab.lxd_server import LxdServer

PREFIX = "iktrust-"  # what the servers' fixture sweeps
WORKERS, ROTATIONS = 3, 4


async def works(innkeeper: Installation, host_id: int, number: int, done: asyncio.Event) -> None:
    """One whole life of a machine after the other."""
    while not done.is_set():
        made = await innkeeper.compose(host_id, hostname=f"{PREFIX}{number}", cores=1, memory=1024, storage="1,1")
        machine = f"machines/{made['system_id']}/"
        assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
        assert (await innkeeper.delete(machine)).status == 204


async def test_rotations_that_overtake_the_work_on_a_server_fail_none_of_it(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    server = servers[0]
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        token = await asyncio.to_thread(server.token, "innkeeper")
        host = await innkeeper.post(
            "vm-hosts/", type="lxd", power_address=server.address, password=token, cpu_over_commit_ratio="10"
        )
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(works(innkeeper, host["id"], number, done))
            for _ in range(ROTATIONS):
                await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
            done.set()
        assert {one["state"] for one in await innkeeper.get("operations/")} == {"succeeded"}
        assert (server.instances(""), server.volumes()) == (set(), set())
        assert len(await asyncio.to_thread(server.trusted)) == 1
