"""Cluster members as hosts: each member is one host, at any address."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve

from common.errors import InnkeeperError, WrongState
from common.values import ClusterMember, HostFacts
from regiond.clusters.service import apply_membership
from regiond.db.pool import Db
from regiond.hosts.removal_model import HostRemoval
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.deadlocks import loses
from tests.integration.support.users import as_user
from tests.support.administrators import first_administrator
from tests.support.waiting import settle

pytestmark = pytest.mark.database

FACTS = HostFacts(
    server_identity="m1", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1024, cluster_member="m1"
)


async def found(innkeeper: Deployment, host_id: int, facts: HostFacts) -> None:
    async with innkeeper.region.components.database.transaction() as db:
        await apply_membership(db, host_id, facts)


@pytest.fixture
def cluster(innkeeper: Deployment) -> Any:
    """Has the members `m1`, with the machine `web`, and `m2`, with a foreign VM."""

    async def prepared() -> Any:
        for name, guests in (("m1", 0), ("m2", 1)):
            host = await innkeeper.add_simulated(name, guests=guests)
            await found(innkeeper, host["id"], evolve(FACTS, cluster_member=name))
        await innkeeper.compose(innkeeper.hosts["m1"], hostname="web", cores=1, memory=1024)
        (found_one,) = await innkeeper.get("vm-clusters/")
        return found_one

    return settle(prepared())


async def test_a_member_at_a_second_address_is_rejected(innkeeper: Deployment) -> None:
    first, second = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
    await found(innkeeper, first, FACTS)
    with pytest.raises(WrongState, match=f"VM host {first} already is at another address"):
        await found(innkeeper, second, FACTS)
    await found(innkeeper, second, evolve(FACTS, cluster_member="m2"))
    await found(innkeeper, first, FACTS)
    assert [host["name"] for host in await innkeeper.get("vm-hosts/")] == ["m1", "m2"]


async def test_a_new_member_has_the_settings_of_who_reports_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("m1", networks="lan:10.61.0.0/24,dmz:10.62.0.0/24")
    settings = {
        "cpu_over_commit_ratio": 2.0, "memory_over_commit_ratio": 1.5, "reserved_cores": 1, "reserved_memory": 512,
        "default_macvlan_mode": "private", "default_network": "dmz", "autostart": "always",
    }  # fmt: skip
    await innkeeper.put(f"vm-hosts/{host['id']}/", **settings)
    members = tuple(ClusterMember(name=name, address=f"{name}:8443") for name in ("m1", "m2"))
    await found(innkeeper, host["id"], evolve(FACTS, cluster_members=members))
    added = await innkeeper.get("vm-hosts/m2/")
    assert {name: added[name] for name in settings} == settings


async def test_runs_of_members_consume_no_cluster_ids(innkeeper: Deployment) -> None:
    one, other = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
    for _ in range(5):
        await found(innkeeper, one, FACTS)
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute("update vm_host set pinned_fingerprint = 'another' where id = $1", other)
    await found(innkeeper, other, FACTS)
    assert [cluster["id"] for cluster in await innkeeper.get("vm-clusters/")] == [1, 2]


async def test_the_maintenance_of_a_cluster_is_that_of_all_members(innkeeper: Deployment, cluster: Any) -> None:
    path = f"vm-clusters/{cluster['id']}"
    begun = await innkeeper.post(path, op="maintenance", reason="new disks")
    assert [(one["name"], one["maintenance"]["reason"]) for one in begun] == [("m1", "new disks"), ("m2", "new disks")]
    assert [[guest["name"] for guest in one["guests"]] for one in begun] == [["web"], ["foreign-0001"]]
    with pytest.raises(InnkeeperError, match=r"m1: is in maintenance since .*m2: is in maintenance since"):
        await innkeeper.post("machines/", op="allocate", cpu_count="1", mem="1024")
    ended = await innkeeper.post(path, op="end_maintenance")
    assert [one["maintenance"] for one in ended] == [None, None]
    assert [one["maintenance"] for one in await innkeeper.get("vm-hosts/")] == [None, None]


async def test_users_do_not_put_clusters_into_maintenance(innkeeper: Deployment, cluster: Any) -> None:
    user = await as_user(innkeeper, "alice")
    for op in ("maintenance", "end_maintenance"):
        with pytest.raises(InnkeeperError):
            await user.post(f"vm-clusters/{cluster['id']}", op=op)
    assert [one["maintenance"] for one in await innkeeper.get("vm-hosts/")] == [None, None]


async def test_a_dead_cluster_is_removed_and_names_what_is_lost(innkeeper: Deployment, cluster: Any) -> None:
    with ExitStack() as stack:
        for name in ("m1", "m2"):
            stack.enter_context(innkeeper.simulated(name).down())
        answer = await innkeeper.delete(f"vm-clusters/{cluster['id']}", force="true")
    assert answer.status == 200
    lost = answer.json()
    assert (lost["name"], [text.split(" ")[0] for text in lost["lost"]]) == (cluster["name"], ["web"])
    assert [text.split(" ")[0] for text in lost["kept"]] == ["foreign-0001"]
    assert (await innkeeper.get("vm-clusters/"), await innkeeper.get("machines/")) == ([], [])


async def test_the_removal_of_a_living_cluster_has_no_content(innkeeper: Deployment, cluster: Any) -> None:
    answer = await innkeeper.delete(f"vm-clusters/{cluster['id']}")
    assert (answer.status, answer.warnings) == (204, ())
    assert await innkeeper.get("vm-hosts/") == []


async def test_a_removal_that_loses_a_deadlock_is_retried(innkeeper: Deployment, cluster: Any) -> None:
    """With a refresh of the second member, which finds that the first is offline."""
    components = innkeeper.region.components
    caller = await first_administrator(components.database)

    async def disagree(_: Db) -> None:
        raise WrongState("This changed since the page was shown.")

    async def remove() -> None:
        with pytest.raises(WrongState, match="This changed"):  # so that nothing is removed, and it can lose again
            await components.services.clusters.start_remove(caller, cluster["id"], HostRemoval(), confirm=disagree)

    first, second = [f"vm_host where name = '{name}'" for name in ("m1", "m2")]
    while not await loses(components.database, remove(), held=second, wanted=first):
        pass
    assert [host["state"] for host in await innkeeper.get("vm-hosts/")] == ["ready", "ready"]
