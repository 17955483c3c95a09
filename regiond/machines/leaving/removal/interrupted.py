"""Settles the machines of operations that were ended as they were: the next refresh of their hosts decides."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.db.pool import Db
from regiond.hosts import schedule_store
from regiond.machines.core import lifecycle_store
from regiond.machines.running.deployment.outcome import fail_deployment
from regiond.machines.values.guest_request import StateBefore
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.states import MachineState
from regiond.operations.model import Operation

_IN_TRANSITION = "select id, state from machine where state = any($1::text[]) order by id"
_LOCK = "select id, state from machine where id = $1 for update"
# The report of a discovery run that began earlier no longer counts.
_SETTLE = "update machine set settled_at = clock_timestamp() where id = $1"
# The hosts may reserve other addresses by now. A guest whose machine has a tombstone would be removed, although it may
# have been adopted since.
_FORGET = """
    with addresses as (update ip_address set on_host = null where on_host is not null)
    delete from tombstone
"""
_UNKNOWN = (MachineState.COMPOSING, MachineState.ADOPTING)
_REMOVED = (MachineState.RELEASING, MachineState.DELETING)
_TRANSIENT = (*_UNKNOWN, *_REMOVED, MachineState.DEPLOYING)


async def settle_interrupted(db: Db, was: Mapping[int, str]) -> int:
    """Gives every machine a state that depends on its guest only. Returns the number of machines that changed.

    A machine that was being composed or adopted is missing until a refresh finds its guest. One that was being released
    or deleted has its earlier state (`was`, by id) until a refresh does not find its guest. Also drops the
    tombstones: guests of machines that were deleted before are reported and can be adopted, and none is removed.
    """
    rows = await db.fetch(_IN_TRANSITION, [state.value for state in _TRANSIENT])
    for row in rows:
        reason = "The database was restored while the machine was being deployed."
        await _settle(db, row["id"], MachineState(row["state"]), was.get(row["id"]), reason)
    await db.execute(_FORGET)
    return len(rows)


async def settle_abandoned(db: Db, operation: Operation, reason: str) -> None:
    """Gives the machine of an abandoned operation such a state, and has its host refreshed soon.

    What the operation claimed stays claimed until then, also what it may not have used.
    """
    row = None if operation.machine_id is None else await db.fetchrow(_LOCK, operation.machine_id)
    if row is not None:
        state = MachineState(row["state"])
        if state in _TRANSIENT:
            await _settle(db, row["id"], state, operation.request_as(StateBefore).was, reason)
        await db.execute(_SETTLE, row["id"])
    if operation.host_id is not None:
        await schedule_store.refresh_within(db, [operation.host_id], 0.0)


async def _settle(db: Db, machine_id: int, state: MachineState, was: str | None, reason: str) -> None:
    if state in _UNKNOWN:
        await lifecycle_store.apply_event(db, machine_id, MachineEvent.INTERRUPTED)
    elif state in _REMOVED:
        before = None if was is None else MachineState(was)
        await lifecycle_store.end_removal(db, machine_id, cancelled=True, was=before)
    else:
        await fail_deployment(db, machine_id, reason)
