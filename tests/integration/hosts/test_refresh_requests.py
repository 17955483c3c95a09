"""A host recorded as unreachable after it became reachable is refreshed again within seconds."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from common.errors import InnkeeperError
from regiond.hosts.model import HostState
from regiond.hosts.schedule_store import retry_after_failure, set_refreshed
from regiond.racks.calls.host_calls import HostCalls
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from regiond.db.pool import Db

_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
_REFRESH_LATER = "update vm_host_schedule set next_refresh_at = now() + interval '1 hour'"
_UNTIL_THE_NEXT_S = "select extract(epoch from next_refresh_at - now())::float from vm_host_schedule where host_id = $1"
_UNFINISHED_UNDO = """
    insert into operation (kind, state, host_id, host_name, request, max_failures, error_code, error_message)
    values ('refresh', 'undoing', $1, 'sim', '{}', 1, 'rack_unreachable', 'No rack is linked.') returning id
"""


async def is_in_state(innkeeper: Deployment, host_id: int, state: HostState) -> bool:
    return (await innkeeper.region.components.services.hosts.read(host_id, caller=None)).state is state


def recorded_probes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The hosts that a rack has reached, from now on. The region itself remembers a probe for a moment only."""
    probed: list[int] = []
    check_reach = HostCalls.check_reach

    async def recording(self: HostCalls, rack_id: UUID, host_id: int, *, deadline_s: float) -> None:
        await check_reach(self, rack_id, host_id, deadline_s=deadline_s)
        probed.append(host_id)

    monkeypatch.setattr(HostCalls, "check_reach", recording)
    return probed


async def test_a_refresh_without_a_rack_is_repeated_when_one_has_connected(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    await innkeeper.stop_rack("rack")
    probed = recorded_probes(monkeypatch)
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute("select from vm_host where id = $1 for no key update", host_id)
        refreshing = asyncio.create_task(innkeeper.post(f"vm-hosts/{host_id}/", op="refresh"))
        await eventually(partial(db.fetchval, _WAITING))  # the refresh is about to record that no rack reaches the host
        await db.execute(_REFRESH_LATER)
        await innkeeper.start_rack("rack")
        await eventually(lambda: host_id in probed)
    with pytest.raises(InnkeeperError):
        await refreshing
    await innkeeper.after_refreshes(partial(is_in_state, innkeeper, host_id, HostState.READY))


async def test_the_error_of_a_dead_regions_refresh_is_soon_replaced(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    async with innkeeper.region.components.database.connection() as db:
        operation_id = await db.fetchval(_UNFINISHED_UNDO, host_id)
    operation = await innkeeper.region.components.services.operations.wait(operation_id, timeout_s=240)
    assert operation.state.value == "failed"
    await innkeeper.after_refreshes(partial(is_in_state, innkeeper, host_id, HostState.READY))


async def test_each_failure_in_a_row_doubles_the_time_to_the_next_attempt(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]

    async def delays_s(db: Db, count: int) -> list[float]:
        delays = []
        for _ in range(count):
            await db.execute(_REFRESH_LATER)
            await retry_after_failure(db, host_id)
            delays.append(await db.fetchval(_UNTIL_THE_NEXT_S, host_id))
        return delays

    async with innkeeper.connection() as db, db.transaction():
        await set_refreshed(db, host_id)
        assert await delays_s(db, 6) == [2, 4, 8, 16, 30, 30]
        await set_refreshed(db, host_id)
        assert await delays_s(db, 1) == [2]
