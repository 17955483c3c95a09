"""Connections that end a cancelled statement in bounded time.

PostgreSQL ignores a cancel request that arrives before the server process has read the statement. asyncpg sends one
request and waits for the statement, which then ran until its timeout of 25 s; on a busy machine, that was one
cancellation in 300. There is no public setting for it: a test fails with a release of asyncpg that works differently.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from regiond.db import known_types

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REPEAT_AFTER_S = 0.1
DEADLINE_S = 2.0  # the cancelled task waits for so long


class Connection(known_types.Connection):
    """A connection that repeats cancel requests, and closes if the statement does not end within 2 s.

    A statement on a closed connection can still run on the server until its statement timeout, and can take effect.
    """

    async def _cancel(self, sent: asyncio.Future[None], ended: asyncio.Future[None]) -> None:
        """Sets `sent`, for which the next statement waits, only when no request can reach that statement."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(DEADLINE_S) as deadline:
                    while not (ended.done() or deadline.expired()):  # asyncpg's method suppresses the cancellation
                        await super()._cancel(asyncio.Future())  # type: ignore[misc]
                        await asyncio.wait({ended}, timeout=REPEAT_AFTER_S)
            if not ended.done():
                log.warning(
                    "database_connection_discarded", reason="a cancelled statement did not end", waited_s=DEADLINE_S
                )
                self.terminate()
        finally:
            if not sent.done():
                sent.set_result(None)
