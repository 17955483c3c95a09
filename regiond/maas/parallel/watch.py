"""Asks each watched MAAS again, and compares what it says with what its hosts report."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from attrs import frozen

from common.errors import DatabaseUnavailable, InnkeeperError, WrongState
from common.maas.inventory import Inventory
from common.process.periodic import PeriodicTask
from regiond.credentials.rewrap import MAAS_IMPORT_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.hosts.model import HostState, HostView
from regiond.hosts.service import Hosts
from regiond.maas.access import MaasAccess
from regiond.maas.imports import store as import_store
from regiond.maas.imports import watched_store
from regiond.maas.imports.service import MaasImports, counts_of
from regiond.maas.parallel import store
from regiond.maas.parallel.comparison import SeenHost, compare, presence_of
from regiond.maas.parallel.model import MAX_DIFFERENCES, ParallelRun
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOOK_EVERY_S = 60.0
READ_EVERY_S = 300.0  # each MAAS, by one of the regions
MAX_PROBLEM = 500


@frozen(kw_only=True)
class Comparisons:
    """Readings and comparisons of imports that are watched."""

    database: Database
    imports: MaasImports
    hosts: Hosts
    credentials: Credentials

    async def compare_now(self, caller: Caller, import_id: int) -> ParallelRun:
        """Asks the MAAS, compares, and returns the result. Nothing changes there or on hosts.

        Raises NotAllowed, NotFound, WrongState if the import is not watched, and the errors of `read_with`.
        """
        await self.imports.read(caller, import_id)
        async with self.database.transaction() as db:
            await store.claim(db, import_id, 0.0)
        await self.read_again(import_id)
        return await self.last(caller, import_id)

    async def last(self, caller: Caller, import_id: int) -> ParallelRun:
        """Returns the last comparison. Raises NotAllowed and NotFound."""
        found = await self.imports.read(caller, import_id)
        async with self.database.connection() as db:
            return ParallelRun(
                maas_import=found,
                hosts=await store.watched_hosts(db, import_id),
                differences=await store.differences(db, import_id),
                more=await store.more_differences(db, import_id),
            )

    async def read_again(self, import_id: int) -> None:
        """Replaces the inventory and the differences, or records why not and raises that.

        While something is imported from the inventory, it stays, and nothing is compared. So does the inventory of a
        reading that began later and was faster; it is compared.
        """
        access = await self._access(import_id)
        async with self.database.connection() as db:
            began = await store.now(db)
        try:
            read = await self.imports.inventories.reading.of_maas(access)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            async with self.database.transaction() as db:
                await store.record_problem(db, import_id, error.message[:MAX_PROBLEM], began)
            raise
        async with self.database.transaction() as db:
            if await import_store.open_operation_of(db, import_id) is not None:
                return
            is_outdated = await store.is_read_since(db, import_id, began)
            if not is_outdated:
                keys = self.imports.host_keys(read.inventory)
                await self.imports.inventories.write(db, import_id, read, counts_of(read.inventory), keys)
                await store.record_read(db, import_id, began)
        if is_outdated:
            await self.compare(import_id)
        else:
            await self._compare(import_id, read.inventory, began)

    async def compare(self, import_id: int) -> int | None:
        """Compares what was read last with what the hosts have reported last, and stores the differences.

        Returns how many were not stored of hosts that are not taken over; None: something is imported, and nothing was
        compared.
        """
        return await self._compare(import_id, *await self.imports.inventories.read_dated(import_id))

    async def _compare(self, import_id: int, inventory: Inventory, read_at: datetime) -> int | None:
        async with self.database.connection() as db:
            watched = await store.watched_hosts(db, import_id)
            ids = [one.host_id for one in watched]
            vms, nodes = await store.vms(db, ids), await watched_store.nodes_of_cores(db, ids)
            machines = await store.imported_machines(db, [one.host_id for one in watched if one.taken_at is not None])
        views = {one.id: one for one in await self.hosts.read_all(ids)}
        seen = {
            one.source_id: SeenHost(
                host_id=one.host_id, name=one.host_name, problem=_problem(view), vms=vms[one.host_id],
                node_of=nodes.get(one.host_id, {}), taken=one.taken_at is not None,
                group=None if view.cluster_id is None else (view.cluster_id, view.project),
                machines=machines.get(one.host_id, {}),
            )
            for one in watched
            if (view := views.get(one.host_id)) is not None
        }  # fmt: skip
        presence = presence_of(inventory, [one.source_id for one in watched])
        found = await asyncio.to_thread(compare, inventory, seen)
        async with self.database.transaction() as db:
            if await import_store.open_operation_of(db, import_id) is not None:
                return None
            is_newest = await import_store.read_at(db, import_id) == read_at
            if is_newest:
                kept = found[:MAX_DIFFERENCES]
                await store.write_differences(db, import_id, kept, len(found) - len(kept))
                await store.write_in_maas(db, import_id, presence)
        if not is_newest:  # it was read again meanwhile, and what that said counts
            return await self.compare(import_id)
        taken = {one.host_id for one in watched if one.taken_at is not None}
        return sum(one.host_id not in taken for one in found[MAX_DIFFERENCES:])

    async def _access(self, import_id: int) -> MaasAccess:
        async with self.database.connection() as db:
            found = await store.access(db, import_id)
        if found is None:
            raise WrongState(
                f"Import {import_id} is not watched: it was not begun with watch=true from a running MAAS. Begin "
                "another one: innkeeper import maas --watch --url URL --key KEY"
            )
        key = self.credentials.unseal_data(import_id, MAAS_IMPORT_KEY, found.sealed_key).decode()
        return found.with_key(key)


def _problem(host: HostView) -> str:
    return "" if host.state is HostState.READY else host.error_message or "It has not been refreshed yet."


class ParallelWatch:
    """Compares each watched import every five minutes, by one of the regions."""

    def __init__(self, database: Database, comparisons: Comparisons) -> None:
        self._database = database
        self._comparisons = comparisons
        self._task = PeriodicTask("maas_parallel", self.look, every_s=LOOK_EVERY_S, first_after_s=LOOK_EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def look(self, *, every_s: float = READ_EVERY_S) -> None:
        """Asks those that were not asked for so long."""
        async with self._database.connection() as db:
            due = await store.due(db, every_s)
        for import_id in due:
            async with self._database.transaction() as db:
                if not await store.claim(db, import_id, every_s):
                    continue
            try:
                await self._comparisons.read_again(import_id)
            except DatabaseUnavailable:
                raise
            except InnkeeperError as error:  # stored with the import
                log.info("maas_not_compared", import_id=import_id, reason=error.message)
