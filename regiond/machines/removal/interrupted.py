"""Settles the machines of operations that a restore has ended: the next refresh of their hosts decides."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.db.pool import Db
from regiond.machines import lifecycle_store
from regiond.machines.deployment.outcome import fail_deployment
from regiond.machines.lifecycle import MachineEvent
from regiond.machines.model import MachineState

_IN_TRANSITION = "select id, state from machine where state = any($1::text[]) order by id"
# The hosts may reserve other addresses by now. A guest whose machine has a tombstone would be removed, although it may
# have been adopted since.
_FORGET = """
    with addresses as (update ip_address set on_host = null where on_host is not null)
    delete from tombstone
"""
_UNKNOWN = (MachineState.COMPOSING, MachineState.ADOPTING)
_REMOVED = (MachineState.RELEASING, MachineState.DELETING)


async def settle_interrupted(db: Db, was: Mapping[int, str]) -> int:
    """Gives every machine a state that depends on its guest only. Returns the number of machines that changed.

    A machine that was being composed or adopted is missing until a refresh finds its guest. One that was being released
    or deleted has its earlier state (`was`, by id) until a refresh does not find its guest. Also drops the
    tombstones: guests of machines that were deleted before are reported and can be adopted, and none is removed.
    """
    transient = (*_UNKNOWN, *_REMOVED, MachineState.DEPLOYING)
    rows = await db.fetch(_IN_TRANSITION, [state.value for state in transient])
    for row in rows:
        state = MachineState(row["state"])
        if state in _UNKNOWN:
            await lifecycle_store.apply_event(db, row["id"], MachineEvent.INTERRUPTED)
        elif state in _REMOVED:
            before = was.get(row["id"])
            await lifecycle_store.end_removal(
                db, row["id"], cancelled=True, was=None if before is None else MachineState(before)
            )
        else:
            await fail_deployment(db, row["id"], "The database was restored while the machine was being deployed.")
    await db.execute(_FORGET)
    return len(rows)
