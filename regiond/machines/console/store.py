"""SQL of what guests wrote to their serial ports before their deployment failed."""

from __future__ import annotations

from regiond.db.pool import Db

_OF_FAILURE = """
    select console from deployment
     where machine_id = $1 and state = 'failed' and ($2::bigint is null or operation_id = $2)
"""


async def of_failure(db: Db, machine_id: int, *, operation_id: int | None) -> str:
    """Empty without a failed deployment, or if another operation than this one failed to deploy the machine."""
    return await db.fetchval(_OF_FAILURE, machine_id, operation_id) or ""
