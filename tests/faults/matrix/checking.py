"""What has to be true of the world after every cell, whatever was asked and whatever died."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from common.errors import InnkeeperError
from regiond.ledger.check import check
from regiond.reconciler.service import differences
from regiond.reconciler.store import see_one_moment
from tests.faults.matrix.held import unlike_machines
from tests.faults.matrix.inn import Inn
from tests.waiting import eventually

QUIET_S = 15.0

_OPEN = """
    select id, kind, state, step, attempt, error_message, lease_owner is not null as leased from operation
     where state in ('queued', 'running', 'waiting', 'undoing') order by id
"""
_HELD = (
    "select id from operation where finished_at is not null and (lease_owner is not null or lease_until is not null)"
)
_NOT_READY = """
    select id, name from vm_host h where state <> 'ready'
        or not exists (select from rack_reach r where r.host_id = h.id and r.reaches)
"""
_OVER_COMMITTED = """
    select identity from server where cores_claimed > cores or memory_mib_claimed > memory_mib
    union all
    select name from storage_pool where claimed_bytes + used_elsewhere_bytes > total_bytes
"""


async def until_quiet(inn: Inn) -> list[str]:
    """Nothing is open, the rack is linked and every host is ready; else what is not so, after a time."""

    async def quiet() -> bool:
        return not await _unrest(inn) and not await inn.db.fetch(_NOT_READY)

    if await _becomes(quiet):
        return []
    unready = [f"host {row['name']} is not ready and reached" for row in await inn.db.fetch(_NOT_READY)]
    return [*await _unrest(inn), *unready]


async def refresh(inn: Inn) -> None:
    """One look at each host, as people ask for it: again, when a link that was cut is missed only now. Those that a
    cell adds are looked at when they were away."""
    away = [row["id"] for row in await inn.db.fetch(_NOT_READY)]
    for host_id in sorted({*inn.hosts.values(), *away}):
        await eventually(partial(_looks_at, inn, host_id), deadline_s=QUIET_S)


async def _looks_at(inn: Inn, host_id: int) -> bool:
    try:
        await inn.installed.post(f"vm-hosts/{host_id}/", op="refresh")
    except InnkeeperError as error:
        if error.details.get("status") != 503:
            raise
        return False
    return True


async def faults_of_world(inn: Inn) -> list[str]:
    """Looks at the hosts, since one that was away is ready again only then; what the look finds is waited for."""

    async def at_rest() -> bool:
        return not await _unrest(inn)

    if not await _becomes(at_rest):
        return await _unrest(inn)
    await refresh(inn)
    if restless := await until_quiet(inn):
        return restless
    async with inn.db.acquire() as db, db.transaction():
        await see_one_moment(db)
        different = [one.message for one in await differences(db)]
        unsummed = await check(db)
    return [
        *different,
        *unsummed,
        *await unlike_machines(inn),
        *(f"operation {row['id']} has ended and holds a lease" for row in await inn.db.fetch(_HELD)),
        *(f"{row[0]} is over-committed" for row in await inn.db.fetch(_OVER_COMMITTED)),
    ]


async def _becomes(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        await eventually(check, deadline_s=QUIET_S)
    except AssertionError:
        return False
    return True


async def _unrest(inn: Inn) -> list[str]:
    return [
        *(f"operation is open: {dict(row)}" for row in await inn.db.fetch(_OPEN)),
        *([] if await inn.is_linked() else ["the rack is not linked"]),
    ]
