"""Storage pools that a host cannot use now: shown, not chosen, and their claims stay."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError
from common.units import BYTES_PER_GB
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.discrepancies import kinds
from tests.integration.support.tables import sql
from tests.postgresql.row_versions import versions

GB = BYTES_PER_GB
USABLE, LOST = "fast:50,big:200", "fast:50,big:200:unavailable"


def address(pools: str) -> str:
    return f"simulated:sim?cores=4&memory_mib=12288&pools={pools}"


async def set_pools(innkeeper: Deployment, host: Any, pools: str) -> Any:
    """Changes the hardware of the host; returns the host after the next refresh."""
    path = f"vm-hosts/{host['id']}/"
    await innkeeper.put(path, power_address=address(pools))
    await refresh(innkeeper, host)
    return await innkeeper.get(path)


def pool_named(host: Any, name: str) -> Any:
    return next(pool for pool in host["storage_pools"] if pool["name"] == name)


async def events(innkeeper: Deployment) -> list[tuple[str, str]]:
    found = reversed(await innkeeper.region.components.services.events.list())
    return [(event.kind, event.message) for event in found if event.kind.startswith("storage_pool_")]


async def test_an_unavailable_pool_is_shown_with_nothing_free(innkeeper: Deployment, database_url: str) -> None:
    host = await innkeeper.add_simulated(pools=USABLE)
    await innkeeper.compose(host["id"], storage="root:8(big)")
    before = await innkeeper.get(f"vm-hosts/{host['id']}/")
    assert [pool["status"] for pool in before["storage_pools"]] == ["available", "available"]
    after = await set_pools(innkeeper, host, LOST)
    big = pool_named(after, "big")
    assert (big["status"], big["total"], big["used"]) == ("unavailable", 200 * GB, 8 * GB)
    assert (big["available"], big["capacity"]["free"], big["capacity"]["claimable"]) == (0, 0, 8 * GB)
    assert (after["available"]["local_storage"], after["capacity"]["storage_bytes"]["free"]) == (50 * GB, 50 * GB)
    assert (after["state"], pool_named(after, "fast")["available"]) == ("ready", 50 * GB)
    assert after["problems"] == [
        {"subject": "storage pool big", "message": "The storage pool is unavailable: no disk can be made in it."}
    ]
    written = await versions(database_url)
    await refresh(innkeeper, host)
    assert await versions(database_url) == written
    again = await set_pools(innkeeper, host, USABLE)
    assert (again["storage_pools"], again["problems"]) == (before["storage_pools"], [])
    assert await events(innkeeper) == [
        ("storage_pool_unavailable", "sim: the storage pool big is unavailable; no disk is placed in it"),
        ("storage_pool_available", "sim: the storage pool big is available again"),
    ]


async def test_placement_rejects_an_unavailable_pool_by_name(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(pools=USABLE)
    await set_pools(innkeeper, host, LOST)
    reason = "needs a disk of 8.0 GB, the storage pool big is unavailable"
    with pytest.raises(InnkeeperError, match=reason):
        await innkeeper.compose(host["id"], storage="root:8(pool:big)")
    with pytest.raises(InnkeeperError, match=reason):
        await innkeeper.compose(host["id"], storage="root:8(big)")
    shown = await innkeeper.post("vm-hosts/", op="place", storage="root:8(pool:big)")
    assert reason in str(shown["rejected"])
    await innkeeper.compose(host["id"], storage="root:8")  # in the default pool, fast
    other = await innkeeper.add_simulated("other", pools="big:100")
    composed = await innkeeper.post("vm-hosts/", op="compose", storage="root:8(pool:big)")
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["pod"]["id"] == other["id"]


async def test_claims_in_an_unavailable_pool_do_not_change(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(pools=USABLE)
    await innkeeper.compose(host["id"], hostname="vm", storage="root:8(big)")
    await set_pools(innkeeper, host, LOST)
    rows(innkeeper, "update volume set size_bytes = ?", 20 * GB)
    await refresh(innkeeper, host)
    claims = await sql(innkeeper, "select amount from claim where resource = 'storage_bytes'")
    assert [row["amount"] for row in claims] == [8 * GB]
    await set_pools(innkeeper, host, USABLE)
    claims = await sql(innkeeper, "select amount from claim where resource = 'storage_bytes'")
    assert [row["amount"] for row in claims] == [20 * GB]
    assert await kinds(innkeeper) == []  # a disk that grew outside has the new size


async def test_the_first_default_pool_is_an_available_one(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(pools="default:50:unavailable,other:50")
    assert [(pool["name"], pool["default"]) for pool in host["storage_pools"]] == [("default", False), ("other", True)]
