"""Deadlocks of a request with another transaction, of which PostgreSQL aborts one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import asyncpg

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database, Db
from tests.integration.support.tables import lock_waiters
from tests.support.waiting import eventually


async def _is_between(database: Database, db: Db, wanted: str) -> bool:
    """Whether the request waits and has locked what is `wanted`: some wait for a moment only, and begin anew."""
    if not await lock_waiters(database):
        return False
    attempt = db.transaction()
    await attempt.start()
    try:
        await db.execute(f"select from {wanted} for update nowait")
    except asyncpg.LockNotAvailableError:
        return True
    finally:
        await attempt.rollback()
    return False


async def loses(database: Database, request: Coroutine[Any, Any, Any], *, held: str, wanted: str) -> bool:
    """Whether the request gave way or was aborted, and not this transaction, which began to wait after it.

    This transaction locks the rows of the table `held`, for which the request waits, then those of `wanted`, which the
    request has locked. PostgreSQL checks each of the two once, after a second: the request too early if this
    transaction does not wait by then. Raises what the request raises.
    """
    task: asyncio.Task[Any] | None = None
    try:
        async with database.transaction() as db:
            await db.execute(f"select from {held} for update")
            task = asyncio.create_task(request)
            await eventually(lambda: _is_between(database, db, wanted))
            await db.execute(f"select from {wanted} for update")
    except DatabaseUnavailable as error:
        if not isinstance(error.__cause__, asyncpg.DeadlockDetectedError):
            raise
        return False
    finally:
        if task is not None:
            await task
    return True
