"""Since when hosts and storage pools need attention: an outage has one beginning."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.attention.test_attention import age, items
from tests.integration.attention.test_attention_hosts import CLUSTER, fail
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user

pytestmark = pytest.mark.database

_FINE = "update vm_host set state = 'ready', error_code = null, error_message = null, error_details = null"
_FULL = """
    update storage_pool p set used_elsewhere_bytes = 95e9 from vm_host h where h.server_id = p.server_id and h.id = $1
"""
_AGO = "update vm_host set state_since = state_since - interval '2 hours'"


async def test_an_outage_keeps_its_beginning_until_the_host_was_fine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await fail(innkeeper, host, "host_unreachable")
    await sql(innkeeper, _AGO)
    for code in ("driver_failed", "rack_unreachable", "peer_changed", "not_trusted", "host_unreachable"):
        await fail(innkeeper, host, code)
        (item,) = (await items(innkeeper)).values()
        assert age(item).total_seconds() // 3600 == 2, code
    await sql(innkeeper, _FINE)
    assert await items(innkeeper) == {}
    await fail(innkeeper, host, "host_unreachable")
    (item,) = (await items(innkeeper)).values()
    assert age(item).total_seconds() < 60


async def test_a_shared_pool_has_one_beginning_whoever_looks(innkeeper: Deployment) -> None:
    """Also for a user who does not see the first member, and if another member becomes the first that is full."""
    elm, oak = [await innkeeper.add_simulated(name, pools="net:100") for name in ("elm", "oak")]
    await innkeeper.post("resourcepools/", name="lab")
    await innkeeper.put(f"vm-hosts/{elm['id']}/", pool="lab")
    eve = await as_user(innkeeper, "eve")
    await sql(innkeeper, CLUSTER)
    await sql(innkeeper, "update storage_pool set type = 'ceph'")
    await sql(innkeeper, _FULL, oak["id"])
    assert list(await items(innkeeper)) == ["storage_pool_full"]
    await sql(innkeeper, "update attention_since set since = now() - interval '2 hours'")
    await sql(innkeeper, _FULL, elm["id"])
    await innkeeper.region.components.services.attention.stop()  # while its round has the lock, a note does nothing
    await innkeeper.region.components.services.attention.note()
    for viewer, host in ((innkeeper, "elm"), (eve, "oak")):
        item = (await items(viewer))["storage_pool_full"]
        assert (item["host_name"], age(item).total_seconds() // 3600) == (host, 2)
    await sql(innkeeper, "update storage_pool set status = 'errored'")
    await sql(innkeeper, "update storage_pool set status_since = now() - id * interval '3 hours'")
    ages = [
        age((await items(viewer))["storage_pool_unavailable"]).total_seconds() // 3600 for viewer in (innkeeper, eve)
    ]
    assert ages[0] == ages[1] >= 6


async def test_a_pool_keeps_its_beginning_until_it_was_available(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("elm", pools="fast:50,big:200:unavailable")
    await sql(innkeeper, "update storage_pool set status_since = now() - interval '2 hours' where name = 'big'")
    await sql(innkeeper, "update storage_pool set status = 'errored' where name = 'big'")
    assert age((await items(innkeeper))["storage_pool_unavailable"]).total_seconds() // 3600 == 2
    await sql(innkeeper, "update storage_pool set status = 'available' where name = 'big'")
    await sql(innkeeper, "update storage_pool set status = 'errored' where name = 'big'")
    assert age((await items(innkeeper))["storage_pool_unavailable"]).total_seconds() < 60
