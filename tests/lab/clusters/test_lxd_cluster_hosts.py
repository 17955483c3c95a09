"""A real LXD cluster as VM hosts: adding one member adds all, with separate capacity and one key pair."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.deployed_host import add_lxd
from tests.support.waiting import eventually

pytestmark = [pytest.mark.database, pytest.mark.every_product]  # no other test uses the SQL of clusters

Members = tuple[LxdServer, ...]
PREFIX = "ikclh-"
SMALL: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "1"}


async def added(innkeeper: Deployment, cluster: Members) -> dict[str, int]:
    """Adds the cluster; returns the host ids by member once all are ready."""
    await add_lxd(innkeeper, cluster[0], name="cloud")
    await eventually(partial(all_ready, innkeeper, len(cluster)))
    return {host["name"]: host["id"] for host in await innkeeper.get("vm-hosts/")}


async def all_ready(innkeeper: Deployment, count: int) -> bool:
    found = await innkeeper.region.components.services.hosts.long_list(caller=None)
    hosts = await found.read(found.keys)
    return len(hosts) == count and all(host.state is HostState.READY for host in hosts)


def location(cluster: Members, name: str) -> str:
    found: str = cluster[0].ask(f"/1.0/instances/{name}")["location"]
    return found


async def test_adding_one_member_adds_all_with_one_key_pair(cluster: Members, innkeeper: Deployment) -> None:
    before = await asyncio.to_thread(cluster[0].trusted)
    hosts = await added(innkeeper, cluster)
    assert set(hosts) == {member.name for member in cluster}
    assert len(await asyncio.to_thread(cluster[0].trusted) - before) == 1
    (known,) = await innkeeper.get("vm-clusters/")
    assert (known["name"], known["vmhost_count"], known["project"]) == ("cloud", len(cluster), "default")
    each = [await innkeeper.get(f"vm-hosts/{host_id}/") for host_id in hosts.values()]
    assert known["total"]["cores"] == sum(host["total"]["cores"] for host in each)
    assert known["total"]["memory"] == sum(host["total"]["memory"] for host in each) * 2**20
    pairs = [await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters") for host_id in hosts.values()]
    assert len({pair["certificate"] for pair in pairs}) == 1


async def test_members_are_identified_by_the_pinned_certificate_and_name(
    cluster: Members, innkeeper: Deployment
) -> None:
    await added(innkeeper, cluster)
    facts = await asyncio.to_thread(cluster[0].ask, "/1.0")
    certificate = facts["environment"]["certificate_fingerprint"]
    found = await innkeeper.fetch("select h.name, s.identity from vm_host h join server s on s.id = h.server_id")
    assert {row["name"]: row["identity"] for row in found} == {
        member.name: f"lxd/lxd:{certificate}:{member.name}" for member in cluster
    }


async def test_members_compose_and_count_separately(cluster: Members, innkeeper: Deployment) -> None:
    hosts = await added(innkeeper, cluster)
    other = cluster[1].name
    composed = await innkeeper.compose(hosts[other], hostname=f"{PREFIX}a", **SMALL)
    assert await asyncio.to_thread(location, cluster, f"{PREFIX}a") == other
    used = {name: (await innkeeper.get(f"vm-hosts/{host_id}/"))["used"]["cores"] for name, host_id in hosts.items()}
    assert used[other] - used[cluster[0].name] == 1
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    assert f"{PREFIX}a" not in {name for _, name in await asyncio.to_thread(cluster[0].instances, PREFIX)}


async def test_removing_a_member_keeps_the_others(cluster: Members, innkeeper: Deployment) -> None:
    hosts = await added(innkeeper, cluster)
    await innkeeper.delete(f"vm-hosts/{hosts[cluster[1].name]}/")
    await innkeeper.post(f"vm-hosts/{hosts[cluster[0].name]}/", op="refresh")
    assert [host["name"] for host in await innkeeper.get("vm-hosts/")] == [
        member.name for member in cluster if member is not cluster[1]
    ]
    (known,) = await innkeeper.get("vm-clusters/")
    assert known["vmhost_count"] == len(cluster) - 1
    assert (await innkeeper.delete(f"vm-clusters/{known['id']}")).status == 204
    assert await innkeeper.get("vm-hosts/") == []
    assert await innkeeper.get("vm-clusters/") == []


async def test_an_unchanged_member_refresh_writes_nothing(
    database_url: str, cluster: Members, innkeeper: Deployment
) -> None:
    from tests.postgresql.row_versions import writes_nothing

    hosts = await added(innkeeper, cluster)

    async def refresh_all() -> None:
        for host_id in hosts.values():
            await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")

    await refresh_all()
    await eventually(lambda: writes_nothing(database_url, refresh_all))


async def test_members_inherit_zone_and_pool(cluster: Members, innkeeper: Deployment) -> None:
    hosts = await added(innkeeper, cluster)
    await innkeeper.post("zones/", name="east")
    (known,) = await innkeeper.get("vm-clusters/")
    changed = await innkeeper.put(f"vm-clusters/{known['id']}", name="sky", zone="east")
    assert changed["name"] == "sky"
    zones = {(await innkeeper.get(f"vm-hosts/{host_id}/"))["zone"]["name"] for host_id in hosts.values()}
    assert zones == {"east"}


async def test_claims_follow_a_machine_moved_by_its_cluster(cluster: Members, innkeeper: Deployment) -> None:
    hosts = await added(innkeeper, cluster)
    first, other = cluster[0].name, cluster[1].name
    composed = await innkeeper.compose(hosts[first], hostname=f"{PREFIX}mover", **SMALL)
    await asyncio.to_thread(cluster[0].lxc, "move", f"{PREFIX}mover", "--target", other)

    async def followed() -> bool:
        machine = await innkeeper.get(f"machines/{composed['system_id']}/")
        return (machine["pod"]["name"], machine["status_name"]) == (other, "Ready")

    await eventually(followed)
    used = {name: (await innkeeper.get(f"vm-hosts/{host_id}/"))["used"]["cores"] for name, host_id in hosts.items()}
    assert used[other] - used[first] == 1
    await innkeeper.post(f"machines/{composed['system_id']}/", op="power_on")
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    assert f"{PREFIX}mover" not in {name for _, name in await asyncio.to_thread(cluster[0].instances, PREFIX)}
