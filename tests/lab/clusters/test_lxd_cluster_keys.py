"""Credentials and markers on a real LXD cluster: one rotation for all members, adoption on each."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from common.errors import InvalidRequest
from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment
from tests.lab.arrivals.test_adoption_lxd import description, markers, process
from tests.lab.clusters.test_lxd_cluster_hosts import SMALL, added, location
from tests.lab.lxd.test_lxd_through_the_region import has_state
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

Members = tuple[LxdServer, ...]

pytestmark = pytest.mark.every_product

PREFIX = "ikclk-"


async def test_one_rotation_changes_the_pair_of_all_members(cluster: Members, innkeeper: Deployment) -> None:
    others = await asyncio.to_thread(cluster[0].trusted)
    hosts = await added(innkeeper, cluster)
    (old,) = await asyncio.to_thread(cluster[0].trusted) - others
    await innkeeper.post(f"vm-hosts/{hosts[cluster[1].name]}/", op="rotate")
    for member in cluster:
        (new,) = await asyncio.to_thread(member.trusted) - others
        assert new != old
    for name, host_id in hosts.items():
        shown = await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters")
        assert shown["certificate_fingerprint"] == new
        composed = await innkeeper.compose(host_id, hostname=f"{PREFIX}{name}", **SMALL)
        assert await asyncio.to_thread(location, cluster, f"{PREFIX}{name}") == name
        await innkeeper.delete(f"machines/{composed['system_id']}/")
    assert await key_pairs(innkeeper) == [(new, None)]


async def test_a_down_member_does_not_delay_a_rotation(cluster: Members, innkeeper: Deployment) -> None:
    others = await asyncio.to_thread(cluster[0].trusted)
    down = cluster[1]
    hosts = await added(innkeeper, cluster)
    (old,) = await asyncio.to_thread(cluster[0].trusted) - others
    await asyncio.to_thread(down.kill)
    try:
        await innkeeper.post(f"vm-hosts/{hosts[down.name]}/", op="rotate")
    finally:
        await asyncio.to_thread(down.start)
    back = partial(has_state, innkeeper, hosts[down.name], HostState.READY, hosts[down.name])
    await eventually(back, every_s=1)
    for member in cluster:
        (new,) = await asyncio.to_thread(member.trusted) - others
        assert new != old
    assert await key_pairs(innkeeper) == [(new, None)]


async def key_pairs(innkeeper: Deployment) -> list[tuple[Any, ...]]:
    async with innkeeper.region.components.database.connection() as db:
        return [tuple(row) for row in await db.fetch("select fingerprint, replaces_id from key_pair")]


async def test_instances_of_a_second_member_are_adopted(cluster: Members, innkeeper: Deployment) -> None:
    first, second = cluster[:2]
    name = f"{PREFIX}0"
    await asyncio.to_thread(second.make_many, PREFIX, "default", range(1))
    await asyncio.to_thread(second.lxc, "start", name)
    before = await asyncio.to_thread(description, second, name), await asyncio.to_thread(process, second, name)
    hosts = await added(innkeeper, cluster)
    with pytest.raises(InvalidRequest) as rejected:
        await innkeeper.post(f"vm-hosts/{hosts[first.name]}/", op="adopt", guests=name)
    assert rejected.value.fields == {"guests": [f"{first.name} has no virtual machine '{name}'."]}
    (adopted,) = await innkeeper.post(f"vm-hosts/{hosts[second.name]}/", op="adopt", guests=name)
    machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert (machine["pod"]["name"], machine["status_name"], machine["power_state"]) == (second.name, "Deployed", "on")
    assert await asyncio.to_thread(markers, first, name)
    await innkeeper.post(f"vm-hosts/{hosts[first.name]}/", op="refresh")
    assert (await innkeeper.get(f"machines/{adopted['system_id']}/"))["pod"]["name"] == second.name
    await innkeeper.api.send("POST", f"machines/{adopted['system_id']}/", query=[("op", "forget")])
    assert await asyncio.to_thread(markers, first, name) == []
    now = await asyncio.to_thread(description, second, name), await asyncio.to_thread(process, second, name)
    assert now == before
    await innkeeper.post(f"vm-hosts/{hosts[second.name]}/", op="refresh")
    assert name not in {one["hostname"] for one in await innkeeper.get("machines/")}
