"""SQL of the serial output of guests before their deployment failed."""

from __future__ import annotations

from regiond.db.pool import Db

_OF_FAILURE = """
    select console from deployment
     where machine_id = $1 and state = 'failed' and ($2::bigint is null or operation_id = $2)
"""


async def of_failure(db: Db, machine_id: int, *, operation_id: int | None) -> str:
    """Returns the last lines; empty without a failed deployment, or if it was another operation's deployment."""
    return await db.fetchval(_OF_FAILURE, machine_id, operation_id) or ""
