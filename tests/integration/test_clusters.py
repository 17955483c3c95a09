"""Cluster members as hosts: each member is one host, at any address."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import WrongState
from common.values import HostFacts
from regiond.clusters.service import apply_membership
from tests.deployment.deployment import Deployment

_FACTS = HostFacts(
    server_identity="m1", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1024, cluster_member="m1"
)


async def found(innkeeper: Deployment, host_id: int, facts: HostFacts) -> None:
    async with innkeeper.region.components.database.transaction() as db:
        await apply_membership(db, host_id, facts)


async def test_a_member_at_a_second_address_is_rejected(innkeeper: Deployment) -> None:
    first, second = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
    await found(innkeeper, first, _FACTS)
    with pytest.raises(WrongState, match=f"VM host {first} already is at another address"):
        await found(innkeeper, second, _FACTS)
    await found(innkeeper, second, evolve(_FACTS, cluster_member="m2"))
    await found(innkeeper, first, _FACTS)
    assert [host["name"] for host in await innkeeper.get("vm-hosts/")] == ["m1", "m2"]


async def test_runs_of_members_consume_no_cluster_ids(innkeeper: Deployment) -> None:
    one, other = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
    for _ in range(5):
        await found(innkeeper, one, _FACTS)
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute("update vm_host set pinned_fingerprint = 'another' where id = $1", other)
    await found(innkeeper, other, _FACTS)
    assert [cluster["id"] for cluster in await innkeeper.get("vm-clusters/")] == [1, 2]
