"""Puts the refreshes of hosts off, for tests that change a host without the region."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.support.waiting import eventually

# An event that is on its way, such as the start of a watch or the removal of a guest, makes a host due at once, but
# never before a moment after its last refresh. Returns the hosts that were due soon, or refreshed since the last call.
_HOLD = """
    with soon as (
        select host_id from vm_host_schedule
         where host_id = any($1::integer[]) and next_refresh_at < now() + interval '30 minutes' for update
    ), held as (
        update vm_host_schedule
           set next_refresh_at = now() + interval '1 hour', refreshed_at = now() + interval '1 hour'
         where host_id = any($1::integer[])
    )
    select host_id from soon
"""
_RESUME = """
    update vm_host_schedule set next_refresh_at = now(), refreshed_at = now() where host_id = any($1::integer[])
"""

Fetch = Callable[..., Awaitable[Sequence[Any]]]


async def hold_refreshes(fetch: Fetch, host_ids: Sequence[int], refresh: Callable[[], Awaitable[Any]]) -> None:
    """Returns when no discovery run of these hosts follows but those that `refresh`, which refreshes them, makes."""

    async def none_follows() -> bool:
        await fetch(_HOLD, host_ids)
        await refresh()  # one that is in progress has read the host before
        return not await fetch(_HOLD, host_ids)

    await eventually(none_follows)


async def resume_refreshes(fetch: Fetch, host_ids: Sequence[int]) -> None:
    await fetch(_RESUME, host_ids)
