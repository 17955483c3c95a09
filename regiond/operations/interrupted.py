"""Ends the operations that were open when a backup was made, in the database that was restored from it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from regiond.db.pool import Db

CODE = "interrupted"  # of the error of these operations
STEP = "restore"

# A bulk operation holds user data until it ends.
_END = """
    with open as (select id, kind, state, machine_id, request ->> 'was' as machine_was from operation where is_open),
    ended as (
        update operation o
           set state = 'failed', finished_at = now(), lease_owner = null, lease_until = null, error_code = $1,
               error_message = $2, error_details = null
          from open where o.id = open.id
        returning o.id, o.attempt
    ), logged as (
        insert into operation_log (operation_id, attempt, step, message) select id, attempt, $3, $2 from ended
    ), forgotten as (
        delete from bulk_user_data where operation_id in (select id from ended)
    )
    select id, kind, state, machine_id, machine_was from open order by id
"""


@frozen(kw_only=True)
class Interrupted:
    """An operation that was ended here. `state` is that before, `machine_was` that of a machine before its removal."""

    id: int
    kind: str
    state: str
    machine_id: int | None
    machine_was: str | None


async def end_interrupted(db: Db, backup_at: datetime) -> tuple[Interrupted, ...]:
    """Ends every open operation as failed, and returns them. Nothing repeats or undoes them.

    The backup shows how far they were at its time. Since then each may have ended, and others may have changed the same
    guest: to repeat one could power a guest off, or delete it, against what users decided later. Discovery shows what
    they left.
    """
    reason = (
        f"The database was restored from a backup of {backup_at:%Y-%m-%d %H:%M} UTC, when this operation was open. "
        "Its outcome is unknown. The refresh of its host shows what is there now."
    )
    return tuple(Interrupted(**row) for row in await db.fetch(_END, CODE, reason, STEP))
