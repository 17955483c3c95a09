"""Real LXD from the API: many machines in two projects, and pools and cluster members that disappear."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.clusters.test_lxd_cluster_hosts import added
from tests.lab.servers.lxd_server import LxdServer
from tests.postgresql.row_versions import writes_nothing
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

PREFIX = "ikthr-"
FEW, MANY = 3, 100


async def host_in(innkeeper: Deployment, server: LxdServer, project: str, **fields: Any) -> int:
    host = await innkeeper.post(
        "vm-hosts/", type="lxd", power_address=server.address, project=project, name=project, **fields
    )
    return int(host["id"])


async def refresh_calls(innkeeper: Deployment, host_ids: tuple[int, ...]) -> list[int]:
    """The number of requests of one refresh of each host."""
    for host_id in host_ids:
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    newest = (await innkeeper.get("operations/"))[: len(host_ids)]
    return [operation["result"]["calls"] for operation in newest]


async def test_a_refresh_of_100_machines_costs_as_much_as_3(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    with server.project("ikthr-a") as first, server.project("ikthr-b") as second:
        async with deployed(tmp_path, database_url) as innkeeper:
            await innkeeper.start_rack()
            token = await asyncio.to_thread(server.token, "innkeeper")
            hosts = (
                await host_in(innkeeper, server, first, password=token),
                await host_in(innkeeper, server, second),
            )
            await asyncio.to_thread(server.make_many, PREFIX, first, range(FEW))
            calls = await refresh_calls(innkeeper, hosts)
            half = MANY // 2
            await asyncio.to_thread(server.make_many, PREFIX, first, range(FEW, half))
            await asyncio.to_thread(server.make_many, PREFIX, second, range(half, MANY))

            async def refreshes_cost_as_much() -> None:
                assert await refresh_calls(innkeeper, hosts) == calls

            await refreshes_cost_as_much()
            await eventually(lambda: writes_nothing(database_url, refreshes_cost_as_much))
            each = [await innkeeper.region.components.services.hosts.read(host_id, caller=None) for host_id in hosts]
            assert [host.used.cores for host in each] == [half, half], "each project counts its own"
            assert len({host.server_id for host in each}) == 1, "one server, counted once"
            assert each[0].claimed.cores == each[1].claimed.cores >= MANY


@pytest.mark.database
async def test_a_deleted_pool_is_not_used_and_not_the_default(server: LxdServer, innkeeper: Deployment) -> None:
    await asyncio.to_thread(server.lxc, "storage", "create", "ikthr-extra", "dir")
    token = await asyncio.to_thread(server.token, "innkeeper")
    host_id = await host_in(innkeeper, server, "default", password=token)
    await innkeeper.put(f"vm-hosts/{host_id}/", default_storage_pool="ikthr-extra")
    composed = await innkeeper.compose(host_id, hostname=f"{PREFIX}one", storage="1", memory=1024)
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["boot_disk"]["storage_pool"] == "ikthr-extra"
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    await asyncio.to_thread(server.lxc, "storage", "delete", "ikthr-extra")
    with pytest.raises(InnkeeperError, match="ikthr-extra"):
        await innkeeper.compose(host_id, hostname=f"{PREFIX}two", storage="1", memory=1024)
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    pools = (await innkeeper.get(f"vm-hosts/{host_id}/"))["storage_pools"]
    assert [(pool["name"], pool["default"]) for pool in pools] == [("default", True)]
    await innkeeper.compose(host_id, hostname=f"{PREFIX}three", storage="1", memory=1024)
    names = {name for _, name in await asyncio.to_thread(server.instances, PREFIX)}
    assert names == {f"{PREFIX}three"}


async def state_of(innkeeper: Deployment, host_id: int) -> HostState:
    return (await innkeeper.region.components.services.hosts.read(host_id, caller=None)).state


async def has_state(innkeeper: Deployment, host_id: int, wanted: HostState, through: int) -> bool:
    """Refreshes the cluster through that host first; the schedule would take minutes."""
    try:
        await innkeeper.post(f"vm-hosts/{through}/", op="refresh")
    except InnkeeperError:
        return False
    return await state_of(innkeeper, host_id) is wanted


@pytest.mark.database
async def test_an_offline_member_keeps_its_machines(cluster: tuple[LxdServer, ...], innkeeper: Deployment) -> None:
    first, other = cluster[:2]
    hosts = await added(innkeeper, cluster)
    composed = await innkeeper.compose(hosts[other.name], hostname=f"{PREFIX}stays", storage="1", memory=1024)
    await asyncio.to_thread(other.kill)
    try:
        await eventually(
            partial(has_state, innkeeper, hosts[other.name], HostState.UNREACHABLE, hosts[first.name]),
            every_s=1,
        )
        machine = await innkeeper.get(f"machines/{composed['system_id']}/")
        assert machine["status_name"] == "Ready", "the guest of an unreachable member is not missing"
    finally:
        await asyncio.to_thread(other.start)
    await eventually(
        partial(has_state, innkeeper, hosts[other.name], HostState.READY, hosts[other.name]),
        every_s=1,
    )
    await innkeeper.delete(f"machines/{composed['system_id']}/")
