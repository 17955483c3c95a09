"""A real cluster of Incus that gets another member, and one that two racks serve."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.lab.clusters.test_lxd_cluster_hosts import SMALL, added, all_ready, location
from tests.lab.hosts.test_lxd_hosts import reaches
from tests.lab.servers.incus_server import VERSIONS, incus_cluster, join_cluster, leave_cluster, why_no_incus
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import require
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

Members = tuple[LxdServer, ...]
PREFIX = "ikclm-"


@pytest.fixture(params=[f"incus-{version}-cluster" for version in VERSIONS])
def cluster(request: pytest.FixtureRequest) -> Iterator[Members]:
    version = str(request.param).split("-")[1]
    require(why_no_incus(version))
    members = incus_cluster(version)
    with members[0].restored(PREFIX):
        yield members


async def delete(innkeeper: Deployment, machine: Any) -> None:
    assert (await innkeeper.delete(f"machines/{machine['system_id']}/")).status == 204


async def test_a_member_that_joins_becomes_a_host(cluster: Members, innkeeper: Deployment) -> None:
    hosts = await added(innkeeper, cluster)
    joined = await asyncio.to_thread(join_cluster, cluster)
    try:
        await innkeeper.post(f"vm-hosts/{hosts[cluster[0].name]}/", op="refresh")
        await eventually(partial(all_ready, innkeeper, len(cluster) + 1))
        (host,) = [one for one in await innkeeper.get("vm-hosts/") if one["name"] not in hosts]
        assert (host["name"], host["cluster_name"]) == (joined.name, "cloud")
        made = await innkeeper.compose(host["id"], hostname=f"{PREFIX}new", **SMALL)
        assert await asyncio.to_thread(location, cluster, f"{PREFIX}new") == joined.name
        await delete(innkeeper, made)
        assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
    finally:
        await asyncio.to_thread(cluster[0].sweep, PREFIX)
        await asyncio.to_thread(leave_cluster, cluster[0], joined)
    # The member that left is no host, and the others go on.
    await innkeeper.post(f"vm-hosts/{hosts[cluster[0].name]}/", op="refresh")
    assert {one["name"] for one in await innkeeper.get("vm-hosts/")} == set(hosts)


async def test_two_racks_serve_all_members_and_either_goes_on_alone(cluster: Members, rackless: Deployment) -> None:
    """A rack ends while it composes: the other one completes what it has begun."""
    await rackless.start_rack("one")
    await rackless.start_rack("two")
    hosts = await added(rackless, cluster)
    for rack in ("one", "two"):
        await eventually(partial(reaches, rackless, rack, len(cluster)))

    async def compose(name: str, host_id: int) -> Any:
        return await rackless.compose(host_id, hostname=f"{PREFIX}{name}", **SMALL)

    for stopped in ("one", "two"):
        composing = [asyncio.ensure_future(compose(f"{stopped}-{name}", host_id)) for name, host_id in hosts.items()]
        await rackless.stop_rack(stopped)
        made = await asyncio.gather(*composing)
        found = {name for _, name in await asyncio.to_thread(cluster[0].instances, PREFIX)}
        assert found == {f"{PREFIX}{stopped}-{name}" for name in hosts}
        for member in cluster:
            assert await asyncio.to_thread(location, cluster, f"{PREFIX}{stopped}-{member.name}") == member.name
        for machine in made:
            await delete(rackless, machine)
        assert await asyncio.to_thread(cluster[0].instances, PREFIX) == set()
        await rackless.start_rack(stopped)
        await eventually(partial(reaches, rackless, stopped, len(cluster)))
