"""Ends the operations that were open in a database that shows an earlier moment."""

from __future__ import annotations

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


async def end_interrupted(db: Db, how: str) -> tuple[Interrupted, ...]:
    """Ends every open operation as failed, and returns them. Nothing repeats or undoes them.

    `how` the database was restored: such as `from a backup of 2026-11-25 12:00 UTC`. It shows how far they were then.
    Since then each may have ended, and others may have changed the same guest: to repeat one could power a guest off,
    or delete it, against what users decided later. Discovery shows what they left.
    """
    reason = (
        f"The database was restored {how}, when this operation was open. Its outcome is unknown. The refresh of its "
        "host shows what is there now."
    )
    return tuple(Interrupted(**row) for row in await db.fetch(_END, CODE, reason, STEP))
