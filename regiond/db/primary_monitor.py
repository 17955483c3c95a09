"""Leaves a former primary that still serves open connections when another server was promoted."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from common.errors import BadSettings, DatabaseUnavailable
from common.process.periodic import PeriodicTask
from regiond.db.connection import Connection
from regiond.db.history import ServerHistory
from regiond.db.pool import CONNECT_DEADLINE_S, Database, connect
from regiond.db.servers import servers_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CHECK_EVERY_S = 10.0


class PrimaryMonitor:
    """Looks for a newer primary every 10 s, from `start` to `stop`, if the DSN names several servers.

    A network that is divided leaves open connections to a primary that has been replaced; nothing that is written there
    remains. `on_newer` is called when the pool has dropped its connections.
    """

    def __init__(self, dsn: str, database: Database, history: ServerHistory, *, on_newer: Callable[[], None]) -> None:
        self._dsn = dsn
        self._database = database
        self._history = history
        self._on_newer = on_newer
        self._task = PeriodicTask("database_primary", self.check, every_s=CHECK_EVERY_S, first_after_s=CHECK_EVERY_S)
        self._has_several = len(servers_of(dsn)) > 1

    def start(self) -> None:
        if self._has_several:
            self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def check(self) -> None:
        """Returns after the check. Never raises for servers that cannot be reached."""
        try:
            connection = await connect(self._dsn, application_name="innkeeper-check", history=ServerHistory())
        except (DatabaseUnavailable, BadSettings):
            return  # reported where the database is needed
        try:
            position = connection.position if isinstance(connection, Connection) else None
            if position is not None and self._history.remember_newer(position):
                log.warning("database_primary_replaced", timeline=position.timeline)
                await self._database.drop_connections()
                self._on_newer()
        finally:
            await connection.close(timeout=CONNECT_DEADLINE_S)
