"""Knows the newest history of the database that a region has used: it never returns to a former one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from attrs import frozen

from common.errors import BadSettings
from common.process.private_files import write_private
from regiond.db.connection import Connection
from regiond.db.errors import no_primary
from regiond.db.position import Position

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FILE = "database-history.json"  # in the state folder

_STATE = """
    select pg_is_in_recovery() as is_standby, (select system_identifier::text from pg_control_system()) as system,
           case when not pg_is_in_recovery()
                then ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint end as timeline
"""
_STATE_DEADLINE_S = 5.0
_NOT_SAID = (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError)


OnMoved = Callable[[Connection, Position, Position | None], Awaitable[None]]


class ServerHistory:
    """The newest position of this process, and of its state folder if there is a `path`.

    `on_moved` is called with the first connection to a server of another position than the newest, before that or any
    other connection to it is used, with both positions.
    """

    def __init__(self, path: Path | None = None, *, newest: Position | None = None) -> None:
        self._path = path
        self._newest = newest
        self._on_moved: OnMoved | None = None
        self._settled: Position | None = None
        self._superseded: Position | None = None  # used before a newer one was found that is not used yet
        self._settling = asyncio.Lock()

    @classmethod
    def open(cls, folder: Path) -> ServerHistory:
        """Raises BadSettings for a file that is not one of ours."""
        path = folder / FILE
        try:
            found = json.loads(path.read_bytes())
            return cls(path, newest=Position(system=str(found["system"]), timeline=int(found["timeline"])))
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError) as error:
            raise BadSettings(
                f"The file {path} is damaged. Delete it if no former primary of the database can be reached."
            ) from error

    @property
    def newest(self) -> Position | None:
        return self._newest

    def remember_newer(self, position: Position) -> bool:
        """Returns whether the position continues the newest one. From now on, the servers before it are rejected."""
        if self._newest is None or not self._newest.is_before(position):
            return False
        self._superseded = self._superseded or self._newest
        self._newest = position
        return True

    def on_moved(self, call: OnMoved) -> None:
        self._on_moved = call

    def check(self, position: Position | None) -> None:
        """Raises DatabaseUnavailable for a server whose history another has continued."""
        if position is not None and position.is_before(self._newest):
            raise no_primary(
                "the one that accepts writes is a former primary, whose changes would be lost: it must become a "
                "standby of the new one",
                f"it has {position}, and this region has used {self._newest}. If the newer server is lost for good, "
                f"stop every region and delete the file {self._path}",
            )

    async def settle(self, connection: Connection) -> None:
        """Returns when the connection can be used: its server was used before, or `on_moved` has returned."""
        position = connection.position
        if position is None or position == self._settled:
            return
        async with self._settling:
            if position == self._settled:
                return
            self.check(position)  # another connection may have found a newer server
            if self._on_moved is not None:
                await self._on_moved(connection, position, self._superseded or self._newest)
            self._remember(position)

    def _remember(self, position: Position) -> None:
        is_known = position == self._newest and self._superseded is None
        self._settled = self._newest = position
        self._superseded = None
        if is_known:
            return
        if self._path is not None:
            try:
                write_private(self._path, json.dumps({"system": position.system, "timeline": position.timeline}))
            except OSError as error:  # this process knows it all the same
                log.warning("database_history_not_written", path=str(self._path), reason=error.strerror)
        log.info("database_history_known", system=position.system, timeline=position.timeline)


@frozen
class ServerState:
    """`position` is None for a standby, and for a server that does not report it."""

    is_standby: bool
    position: Position | None


async def read_state(connection: asyncpg.Connection[Any] | PoolConnectionProxy[Any]) -> ServerState:
    try:
        row = await connection.fetchrow(_STATE, timeout=_STATE_DEADLINE_S)
    except _NOT_SAID:
        return ServerState(is_standby=False, position=None)
    if row is None or row["is_standby"]:
        return ServerState(is_standby=True, position=None)
    return ServerState(is_standby=False, position=Position(system=row["system"], timeline=row["timeline"]))


async def read_position(connection: asyncpg.Connection[Any] | PoolConnectionProxy[Any]) -> Position | None:
    """Returns the position of the server of an open connection; None if it does not report it."""
    return (await read_state(connection)).position
