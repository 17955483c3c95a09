"""Hosts and storage pools in the list of what needs attention."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.attention.test_attention import items, listed
from tests.integration.support.tables import sql

pytestmark = pytest.mark.database

OFFERED = "cd" * 32
_ERROR = "update vm_host set state = $2, error_code = $3, error_message = 'why', error_details = $4 where id = $1"
CLUSTER = """
    with made as (
        insert into cluster (name, identity, project, zone_id, pool_id) values ('trees', 'ab', '', 1, 0) returning id)
    update vm_host set cluster_id = made.id, member = name from made
"""
_STATUS = "update storage_pool p set status = $2 from vm_host h where h.server_id = p.server_id and h.id = $1"


async def fail(innkeeper: Deployment, host: Any, code: str, state: str = "unreachable", **details: Any) -> None:
    await sql(innkeeper, _ERROR, host["id"], state, code, details)


async def test_the_remedy_has_the_stored_facts_of_the_error(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await fail(innkeeper, host, "peer_changed", kind="identity_changed", offered=OFFERED)
    (item,) = (await items(innkeeper)).values()
    assert item["kind"] == "host_rejected"
    assert f"innkeeper vm-host trust {host['id']} fingerprint={OFFERED}" in item["remedy"]


async def test_a_shared_pool_counts_once_and_hides_no_problem(innkeeper: Deployment) -> None:
    hosts = [await innkeeper.add_simulated(name, pools="net:100") for name in ("elm", "oak", "ash")]
    await sql(innkeeper, CLUSTER)
    await sql(innkeeper, "update storage_pool set type = 'ceph', used_elsewhere_bytes = 95e9")
    (full,) = (await items(innkeeper)).values()
    assert (full["kind"], full["host_name"]) == ("storage_pool_full", "elm")
    await sql(innkeeper, _STATUS, hosts[1]["id"], "errored")
    found = await items(innkeeper)
    assert list(found) == ["storage_pool_unavailable", "storage_pool_full"]
    assert found["storage_pool_unavailable"]["host_name"] == "oak"
    await sql(innkeeper, _STATUS, hosts[2]["id"], "errored")
    assert (await items(innkeeper))["storage_pool_unavailable"]["host_name"] == "oak"
    await sql(innkeeper, "update storage_pool set type = 'zfs'")
    assert len(await listed(innkeeper)) == 3  # a pool of each member
