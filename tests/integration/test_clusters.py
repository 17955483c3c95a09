"""Members of clusters as hosts: each is one host, whatever address leads to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from common.errors import WrongState
from common.values import HostFacts
from regiond.clusters.service import take_in
from tests.installation import Installation, installed

_FACTS = HostFacts(
    server_identity="m1", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1024, cluster_member="m1"
)


async def found(innkeeper: Installation, host_id: int, facts: HostFacts) -> None:
    async with innkeeper.region.parts.database.transaction() as db:
        await take_in(db, host_id, facts)


async def test_a_member_at_a_second_address_is_refused_with_the_host_that_it_is(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        first, second = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
        await found(innkeeper, first, _FACTS)
        with pytest.raises(WrongState, match=f"VM host {first}, at another address"):
            await found(innkeeper, second, _FACTS)
        await found(innkeeper, second, evolve(_FACTS, cluster_member="m2"))
        await found(innkeeper, first, _FACTS)
        assert [host["name"] for host in await innkeeper.get("vm-hosts/")] == ["m1", "m2"]


async def test_looks_at_members_use_up_no_ids_of_clusters(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one, other = [(await innkeeper.add_simulated(name))["id"] for name in ("one", "two")]
        for _ in range(5):
            await found(innkeeper, one, _FACTS)
        async with innkeeper.region.parts.database.transaction() as db:
            await db.execute("update vm_host set pinned_fingerprint = 'another' where id = $1", other)
        await found(innkeeper, other, _FACTS)
        assert [cluster["id"] for cluster in await innkeeper.get("vm-clusters/")] == [1, 2]
