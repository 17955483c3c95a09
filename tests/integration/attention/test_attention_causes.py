"""One cause has one line of Attention, however many objects it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user

_SAME_SERVER = "update vm_host set server_id = (select min(server_id) from vm_host)"
_DOWN = """
    update vm_host set state = 'unreachable', error_code = 'host_unreachable', error_message = 'connection refused'
"""
_PROBLEMS = """
    update vm_host set problems = '[{"subject": "storage pool big", "message": "The storage pool is errored."},
                                    {"subject": "guest x", "message": "cannot be read"}]'
"""


async def listed(innkeeper: Deployment, more: str = "") -> list[tuple[str, str]]:
    """Kind and sentence of each line; the counts have to agree."""
    found = await innkeeper.get(f"attention/?{more}")
    if not more:
        assert (await innkeeper.get("attention/?op=counts"))["total"] == len(found)
    return [(one["kind"], one["text"]) for one in found]


async def hosts_of_one_server(innkeeper: Deployment) -> list[Any]:
    hosts = [await innkeeper.add_simulated(name) for name in ("elm", "oak", "ash")]
    async with innkeeper.connection() as db:
        await db.execute(_SAME_SERVER)
        await db.execute(_DOWN)
    return hosts


async def test_hosts_of_a_server_that_is_down_have_one_line(innkeeper: Deployment) -> None:
    hosts = await hosts_of_one_server(innkeeper)
    words = "elm is unreachable. connection refused. The same holds for ash, oak on the same server."
    assert await listed(innkeeper) == [("host_unreachable", words)]
    assert [kind for kind, _ in await listed(innkeeper, f"host={hosts[1]['id']}")] == ["host_unreachable"]


async def test_hosts_of_a_rack_that_is_away_are_named_by_its_line(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await innkeeper.stop_rack()
    assert not await innkeeper.refreshed(host["id"])
    words = "rack is away. No region has a link to it. Unreachable without it: elm."
    assert await listed(innkeeper) == [("rack_away", words)]
    assert [kind for kind, _ in await listed(innkeeper, f"host={host['id']}")] == ["host_unreachable"]
    eve = await as_user(innkeeper, "eve")  # who does not read of racks
    assert [kind for kind, _ in await listed(eve)] == ["host_unreachable"]


@pytest.mark.slow
async def test_a_storage_pool_that_is_unavailable_is_no_problem_of_its_host_too(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("elm", pools="fast:50,big:200:unavailable")
    await sql(innkeeper, _PROBLEMS)
    (pool, problem) = sorted(await listed(innkeeper), reverse=True)
    assert pool[0] == "storage_pool_unavailable"
    assert problem == ("host_problem", "elm reports a problem. guest x: cannot be read.")
