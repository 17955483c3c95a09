"""Several clones of a machine on real LXD and Incus, made by one request: the same bytes, other machines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_disk_changes import path
from tests.lab.arrivals.test_exports_lxd import composed, disk_files, holds, lxd_host, put
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.database, pytest.mark.every_product]
PREFIX = "ikclones-"
COUNT = 3


async def clones_of(innkeeper: Deployment, source: Any) -> list[Any]:
    await innkeeper.post(path(source), op="clone", hostname=f"{PREFIX}copy", count=COUNT)
    names = {f"{PREFIX}copy-{number}" for number in range(1, COUNT + 1)}

    async def made() -> list[Any]:
        machines = [one for one in await innkeeper.get("machines/") if one["hostname"] in names]
        failed = [one for one in machines if one["status_name"].startswith("Failed")]
        assert not failed, failed
        ready = [one for one in machines if one["status_name"] not in {"Composing", "Commissioning"}]
        return ready if len(ready) == COUNT else []

    return [await innkeeper.get(path(one)) for one in await eventually(made)]


def instance_id(server: LxdServer, name: str) -> str:
    return str(server.ask(f"/1.0/instances/{name}")["config"]["volatile.uuid"])


async def test_clones_have_the_same_bytes_and_are_other_machines(server: LxdServer, innkeeper: Deployment) -> None:
    host_id = await lxd_host(innkeeper, server)
    await innkeeper.put(f"vm-hosts/{host_id}/", cpu_over_commit_ratio=10, memory_over_commit_ratio=10)
    source = await composed(innkeeper, host_id, f"{PREFIX}golden")
    files = await asyncio.to_thread(disk_files, server, source["hostname"], source)
    await asyncio.to_thread(put, files)
    clones = await clones_of(innkeeper, source)
    for clone in clones:
        assert await asyncio.to_thread(holds, await asyncio.to_thread(disk_files, server, clone["hostname"], clone))
    machines = [source, *clones]
    ids = {await asyncio.to_thread(instance_id, server, one["hostname"]) for one in machines}
    macs = [nic["mac_address"] for one in machines for nic in one["interface_set"]]
    assert len(ids) == len(machines)
    assert len(set(macs)) == len(macs)
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    assert await innkeeper.ledger_problems() == []
    assert await innkeeper.discrepancies() == []
    for one in machines:
        await innkeeper.delete(path(one))
    assert await asyncio.to_thread(server.instances, PREFIX) == set()
    assert await asyncio.to_thread(server.volumes) == set()
