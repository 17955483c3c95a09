"""Compares the registrations with what the MAAS servers have of them, asked for by their ids."""

from __future__ import annotations

import structlog

from common.errors import DatabaseUnavailable, InnkeeperError
from common.process.periodic import PeriodicTask
from regiond.db.pool import Database
from regiond.maas.bridge import registration_store, server_store
from regiond.maas.bridge.connections import Connections
from regiond.maas.bridge.maas_api import MaasApi, own_records, with_ids
from regiond.maas.bridge.model import MADE_WITHIN_S, MAX_PROBLEM

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOOK_EVERY_S = 60.0
LIST_EVERY_S = 300.0  # each server, by one of the regions
SETTLED_AT_ONCE = 20  # each takes two requests


class MaasWatch:
    """Records which registered machines a MAAS no longer has; the reconciler shows them."""

    def __init__(self, database: Database, connections: Connections) -> None:
        self._database = database
        self._connections = connections
        self._task = PeriodicTask("maas_watch", self.look, every_s=LOOK_EVERY_S, first_after_s=LOOK_EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def look(self, *, every_s: float = LIST_EVERY_S) -> None:
        """Lists the servers that were not listed for so long."""
        async with self._database.connection() as db:
            due = await server_store.due(db, every_s)
        for server_id in due:
            try:
                await self._list(server_id, every_s)
            except DatabaseUnavailable:
                raise
            except InnkeeperError as error:
                log.info("maas_not_listed", server_id=server_id, reason=error.message)
                async with self._database.transaction() as db:
                    await server_store.record_problem(db, server_id, error.message[:MAX_PROBLEM])

    async def _list(self, server_id: int, every_s: float) -> None:
        async with self._database.transaction() as db:
            if not await server_store.claim_list(db, server_id, every_s):
                return
            registered = await registration_store.listed(db, server_id)
        _, api = await self._connections.open(server_id)
        present = {one.system_id for one in await with_ids(api, sorted(registered.values()))}
        missing = [id_ for id_, system_id in registered.items() if system_id not in present]
        async with self._database.transaction() as db:
            await registration_store.mark_missing(db, list(registered), missing)
            await server_store.clear_problem(db, server_id)
        await self._settle(server_id, api)

    async def _settle(self, server_id: int, api: MaasApi) -> None:
        """Finds the records that MAAS has made although its answer was lost and the registration undone."""
        async with self._database.connection() as db:
            unsettled = await registration_store.unsettled(db, server_id, limit=SETTLED_AT_ONCE)
        for one in unsettled:
            made = await own_records(api, one)
            async with self._database.transaction() as db:
                if made:
                    await registration_store.record_found(db, one.id, made[0].system_id)
                else:
                    await registration_store.settle(db, one.id, MADE_WITHIN_S)
