"""Real LXD from the API down: many machines in two projects, pools and cluster members that go away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.hosts.model import HostState
from tests.installation import Installation, installed
from tests.lab.lxd_server import LxdServer
from tests.lab.test_lxd_cluster_hosts import added
from tests.rows import versions
from tests.waiting import eventually

PREFIX = "ikthr-"
FEW, MANY = 3, 300


@pytest.fixture
def server(lxd: LxdServer) -> Iterator[LxdServer]:
    before = lxd.trusted()
    yield lxd
    lxd.sweep(PREFIX)
    for found in lxd.trusted() - before:
        lxd.ask(f"/1.0/certificates/{found}", method="DELETE")


async def host_in(innkeeper: Installation, server: LxdServer, project: str, **fields: Any) -> int:
    made = await innkeeper.post(
        "vm-hosts/", type="lxd", power_address=server.address, project=project, name=project, **fields
    )
    return int(made["id"])


async def looked_at(innkeeper: Installation, host_ids: tuple[int, ...]) -> list[int]:
    """How many requests each look took."""
    for host_id in host_ids:
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    newest = (await innkeeper.get("operations/"))[: len(host_ids)]
    return [operation["result"]["calls"] for operation in newest]


async def test_300_machines_in_two_projects_cost_a_look_no_more_than_three_and_unchanged_write_nothing(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    with server.project("ikthr-a") as first, server.project("ikthr-b") as second:
        async with installed(tmp_path, database_url) as innkeeper:
            await innkeeper.start_rack()
            token = await asyncio.to_thread(server.token, "innkeeper")
            hosts = (
                await host_in(innkeeper, server, first, password=token),
                await host_in(innkeeper, server, second),
            )
            await asyncio.to_thread(server.make_many, PREFIX, first, range(FEW))
            calls = await looked_at(innkeeper, hosts)
            half = MANY // 2
            await asyncio.to_thread(server.make_many, PREFIX, first, range(FEW, half))
            await asyncio.to_thread(server.make_many, PREFIX, second, range(half, MANY))
            assert await looked_at(innkeeper, hosts) == calls
            before = await versions(database_url)
            assert await looked_at(innkeeper, hosts) == calls
            assert await versions(database_url) == before
            each = [await innkeeper.region.parts.services.hosts.read(host_id) for host_id in hosts]
            assert [host.used.cores for host in each] == [half, half], "each project counts its own"
            assert len({host.server_id for host in each}) == 1, "one server, counted once"
            assert each[0].claimed.cores == each[1].claimed.cores >= MANY


@pytest.mark.database
async def test_a_storage_pool_that_vanishes_takes_no_more_disks_and_the_default_moves_on(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    await asyncio.to_thread(server.lxc, "storage", "create", "ikthr-gone", "dir")
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        token = await asyncio.to_thread(server.token, "innkeeper")
        host_id = await host_in(innkeeper, server, "default", password=token)
        await innkeeper.put(f"vm-hosts/{host_id}/", default_storage_pool="ikthr-gone")
        made = await innkeeper.compose(host_id, hostname=f"{PREFIX}one", storage="1", memory=1024)
        assert (await innkeeper.get(f"machines/{made['system_id']}/"))["boot_disk"]["storage_pool"] == "ikthr-gone"
        await innkeeper.delete(f"machines/{made['system_id']}/")
        await asyncio.to_thread(server.lxc, "storage", "delete", "ikthr-gone")
        with pytest.raises(InnkeeperError, match="ikthr-gone"):
            await innkeeper.compose(host_id, hostname=f"{PREFIX}two", storage="1", memory=1024)
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
        pools = (await innkeeper.get(f"vm-hosts/{host_id}/"))["storage_pools"]
        assert [(pool["name"], pool["default"]) for pool in pools] == [("default", True)]
        await innkeeper.compose(host_id, hostname=f"{PREFIX}three", storage="1", memory=1024)
        names = {name for _, name in await asyncio.to_thread(server.instances, PREFIX)}
        assert names == {f"{PREFIX}three"}


async def state_of(innkeeper: Installation, host_id: int) -> HostState:
    return (await innkeeper.region.parts.services.hosts.read(host_id)).state


async def looks(innkeeper: Installation, host_id: int, wanted: HostState, through: int) -> bool:
    """Has the cluster looked at again, since nobody waits minutes here."""
    try:
        await innkeeper.post(f"vm-hosts/{through}/", op="refresh")
    except InnkeeperError:
        return False
    return await state_of(innkeeper, host_id) is wanted


@pytest.mark.database
@pytest.mark.deadline(240)
async def test_a_member_that_is_offline_is_a_state_and_its_machines_are_kept(
    tmp_path: Path, database_url: str, lxd_cluster: tuple[LxdServer, ...]
) -> None:
    first, other = lxd_cluster[:2]
    before = await asyncio.to_thread(first.trusted)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        hosts = await added(innkeeper, lxd_cluster)
        made = await innkeeper.compose(hosts[other.name], hostname=f"{PREFIX}kept", storage="1", memory=1024)
        await asyncio.to_thread(other.kill)
        try:
            await eventually(
                partial(looks, innkeeper, hosts[other.name], HostState.UNREACHABLE, hosts[first.name]),
                deadline_s=90,
                every_s=1,
            )
            machine = await innkeeper.get(f"machines/{made['system_id']}/")
            assert machine["status_name"] == "Ready", "out of sight is not missing"
        finally:
            await asyncio.to_thread(other.start)
        await eventually(
            partial(looks, innkeeper, hosts[other.name], HostState.READY, hosts[other.name]), deadline_s=90, every_s=1
        )
        await innkeeper.delete(f"machines/{made['system_id']}/")
    for found in await asyncio.to_thread(first.trusted) - before:
        await asyncio.to_thread(partial(first.ask, f"/1.0/certificates/{found}", method="DELETE"))
