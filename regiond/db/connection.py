"""Connections that notice a dead network, end a cancelled statement in bounded time, and remember types.

PostgreSQL ignores a cancel request that arrives before the server process has read the statement. asyncpg sends one
request and waits for the statement, which then ran until its timeout of 25 s; on a busy machine, that was one
cancellation in 300. And asyncpg asks the server what types such as `integer[]` consist of on every new connection, with
a query that takes the server 10 ms: a quarter of its work in a test run. There is no public setting for either: tests
fail with a release of asyncpg that works differently.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import structlog

from regiond.db.errors import LOST
from regiond.db.position import Position

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:  # it cannot be subscripted at run time
    _Connection = asyncpg.Connection

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REPEAT_AFTER_S = 0.1
DEADLINE_S = 2.0  # the cancelled task waits for so long
UNANSWERED_S = 6.0  # a connection on which the server's machine acknowledges nothing for so long is lost
# The same for the server: it rolls the transaction of a region back that has vanished from the network.
NOTICES_LOST_CLIENT: Mapping[str, str] = {
    "tcp_user_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
FIRST_VARYING_OID = 10_000  # those below are in PostgreSQL's sources, the same in every database
_COMPOSITE = b"c"  # rows of the system catalog, whose columns differ between releases

_known_types: dict[frozenset[int], list[asyncpg.Record]] = {}


def forget_types() -> None:
    """Makes the next connection ask again, as in a new process."""
    _known_types.clear()


class Connection(_Connection):
    """A connection that repeats cancel requests, and closes if the statement does not end within 2 s.

    It is also lost when nothing is acknowledged for `UNANSWERED_S`, whether it is in use or idle. A statement on a
    closed connection can still run on the server until its statement timeout, and can take effect. All connections of
    the process share the types that they know. `position` is the history of its server, if known.
    """

    position: Position | None = None

    def __init__(self, protocol: Any, transport: asyncio.Transport, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        _limit_silence(transport.get_extra_info("socket"))

    async def close(self, *, timeout: float | None = None) -> None:
        """Returns when the connection is closed, after `timeout` s at the latest. The server need not answer."""
        with suppress(*LOST, OSError):  # asyncpg has aborted it
            await super().close(timeout=timeout)

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

    async def _introspect_types(
        self, typeoids: Iterable[int], timeout: float | None
    ) -> tuple[list[asyncpg.Record], Any]:
        wanted = frozenset(typeoids)
        if wanted in _known_types:
            # With a name: asyncpg does not prepare its unnamed statement, which no query has replaced, again.
            return _known_types[wanted], SimpleNamespace(name="known")
        types, statement = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]
        if max(wanted) < FIRST_VARYING_OID and not any(one["kind"] == _COMPOSITE for one in types):
            _known_types[wanted] = types
        return types, statement


def _limit_silence(connected: socket.socket) -> None:
    """Ends the connection when the network loses everything: by default Linux tries for a quarter of an hour."""
    if connected.family == socket.AF_UNIX:
        return
    for option, value in (
        (socket.TCP_USER_TIMEOUT, round(UNANSWERED_S * 1000)),
        (socket.TCP_KEEPIDLE, 5),
        (socket.TCP_KEEPINTVL, 2),
    ):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
