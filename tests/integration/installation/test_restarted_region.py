"""A region that restarts waits for its racks: their hosts do not become unreachable in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.reconciler.test_lost_hosts import events_of
from tests.integration.support.tables import sql
from tests.support.waiting import eventually

_DUE = "update vm_host_schedule set next_refresh_at = now()"
_LATER = """
    update region_process set started_at = now() - interval '46 seconds';
    update rack set seen_at = now() - interval '47 seconds'
"""


async def restarted(innkeeper: Deployment) -> Any:
    """Returns a host whose region runs again, while its rack is not linked yet."""
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack()
    await innkeeper.in_process.stop_region()
    await innkeeper.in_process.start_region()
    await sql(innkeeper, _DUE)
    await innkeeper.refresh_due()
    return host


async def state(innkeeper: Deployment, host: Any) -> str:
    (row,) = await sql(innkeeper, "select state from vm_host where id = $1", host["id"])
    return str(row["state"])


async def attention(innkeeper: Deployment) -> list[str]:
    return [one["kind"] for one in await innkeeper.get("attention/")]


@pytest.mark.slow
async def test_hosts_stay_ready_until_the_racks_have_linked_again(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, killable=True) as innkeeper:  # with the same ports after its restart
        await innkeeper.start_rack()
        host = await restarted(innkeeper)
        assert (await state(innkeeper, host), await attention(innkeeper)) == ("ready", [])
        await innkeeper.start_rack()
        await innkeeper.refresh_due()
        assert (await state(innkeeper, host), await attention(innkeeper)) == ("ready", [])
        assert await events_of(innkeeper, "host_unreachable", "host_back") == []


@pytest.mark.slow
async def test_a_rack_that_does_not_return_is_away(innkeeper: Deployment) -> None:
    host = await restarted(innkeeper)
    async with innkeeper.connection() as db:
        await db.execute(_LATER)
    await sql(innkeeper, _DUE)
    await innkeeper.refresh_due()
    assert await state(innkeeper, host) == "unreachable"
    assert await attention(innkeeper) == ["rack_away"], "whose line names the host"


@pytest.mark.slow
async def test_hosts_whose_rack_was_away_return_without_an_event(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.stop_rack()
    await sql(innkeeper, _DUE)
    await innkeeper.refresh_due()
    assert await state(innkeeper, host) == "unreachable"
    await innkeeper.start_rack()

    async def is_ready() -> bool:
        return await state(innkeeper, host) == "ready"

    await innkeeper.after_refreshes(is_ready)
    await eventually(is_ready)
    assert await events_of(innkeeper, "host_unreachable", "host_back") == []
