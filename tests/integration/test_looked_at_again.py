"""A host that was written down as unreachable when it was so no more is looked at again, and not after minutes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from regiond.hosts.model import HostState
from tests.installation import Installation, installed
from tests.waiting import eventually

_WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
_NOT_SOON = "update vm_host_schedule set next_refresh_at = now() + interval '1 hour'"
_LEFT_UNDOING = """
    insert into operation (kind, state, host_id, host_name, request, max_failures, error_code, error_message)
    values ('refresh', 'undoing', $1, 'sim', '{}', 1, 'rack_unreachable', 'No rack is linked.') returning id
"""


async def is_in_state(innkeeper: Installation, host_id: int, state: HostState) -> bool:
    return (await innkeeper.region.parts.services.hosts.read(host_id)).state is state


def is_tried(innkeeper: Installation, host_id: int) -> bool:
    """The rack that has come in was told of the host as it was known then."""
    return any(tried == host_id for _, tried in innkeeper.region.parts.attendance._tried)


async def test_a_look_that_found_no_rack_is_made_again_when_one_came_in_meanwhile(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = (await innkeeper.add_simulated())["id"]
        await innkeeper.stop_rack("rack")
        async with innkeeper.region.parts.database.transaction() as db:
            await db.execute("select from vm_host where id = $1 for no key update", host_id)
            looking = asyncio.create_task(innkeeper.post(f"vm-hosts/{host_id}/", op="refresh"))
            await eventually(partial(db.fetchval, _WAITING))  # to say that nobody reaches the host
            await db.execute(_NOT_SOON)
            innkeeper.region.parts.attendance._tried.clear()
            await innkeeper.run_rack("rack")
            await eventually(lambda: is_tried(innkeeper, host_id))
        with pytest.raises(InnkeeperError):
            await looking
        await eventually(partial(is_in_state, innkeeper, host_id, HostState.READY), deadline_s=20)


async def test_what_a_look_of_a_dead_region_failed_with_is_soon_over(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = (await innkeeper.add_simulated())["id"]
        async with innkeeper.region.parts.database.connection() as db:
            operation_id = await db.fetchval(_LEFT_UNDOING, host_id)
        operation = await innkeeper.region.parts.services.operations.wait(operation_id, timeout_s=20)
        assert operation.state.value == "failed"
        await eventually(partial(is_in_state, innkeeper, host_id, HostState.READY), deadline_s=20)
