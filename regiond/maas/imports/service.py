"""Imports from MAAS: keeps what was read of one, compares it with the region, and carries plans out."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

from attrs import frozen

from common.errors import Busy, InvalidRequest, NotFound, WrongState
from common.maas.inventory import Inventory, Origin, SourceKind
from common.words.operation_kinds import OperationKind
from common.words.phrases import first_of, number_of
from regiond.credentials.rewrap import MAAS_IMPORT_KEY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.maas.imports import store, watched_store
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.inventory_reading import ReadInventory
from regiond.maas.imports.model import (
    Choices,
    ImportRequest,
    MaasImport,
    NewMaasImport,
    Plan,
    SeenPlan,
    StoredChoices,
    read_choices,
    stored_choices,
)
from regiond.maas.imports.plan import kept_choices, make_plan
from regiond.maas.imports.plan_hosts import address_of, driver_of, known_hosts, project_of
from regiond.maas.imports.region_state import RegionState, host_key, read_hosts, read_state
from regiond.operations import intent_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, stored_request
from regiond.operations.service import Operations
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

MAX_FAILURES = 120  # of the operation itself, such as an unavailable database; those of objects do not count
_MAX_NAMED = 5


@frozen(kw_only=True)
class TakenHost:
    """A VM host that is taken over; `source_id` is its id in MAAS."""

    host_id: int
    host_name: str
    source_id: str


@frozen(kw_only=True)
class MaasImports:
    """Imports are for administrators: methods raise NotAllowed for others, and NotFound for an unknown import."""

    database: Database
    operations: Operations
    inventories: Inventories
    credentials: Credentials
    simulated_allowed: bool

    async def list(self, caller: Caller) -> tuple[MaasImport, ...]:
        caller.require_admin()
        async with self.database.connection() as db:
            return await store.list_imports(db)

    async def read(self, caller: Caller, import_id: int) -> MaasImport:
        caller.require_admin()
        async with self.database.connection() as db:
            found = await store.read(db, import_id)
        if found is None:
            raise NotFound(f"There is no import {import_id} from MAAS.")
        return found

    async def add_packed(self, caller: Caller, packed: bytes) -> MaasImport:
        """Keeps the inventory of compressed JSON, which a command has read from a dump or a database."""
        caller.require_admin()
        return await self.add(caller, await self.inventories.reading.of_file(packed))

    async def add_from(self, caller: Caller, source: NewMaasImport) -> MaasImport:
        """Asks a running MAAS for all that an import needs, and keeps it. Nothing changes there.

        Raises InvalidRequest by field, and the errors of `read_with`.
        """
        caller.require_admin()
        access = source.with_key(source.key)
        async with self.database.connection() as db:  # before a reading of minutes
            await _check_unwatched(db, Origin(kind=SourceKind.API, label=access.label), watch=source.watch)
        read = await self.inventories.reading.of_maas(access)
        return await self.add(caller, read, source if source.watch else None)

    async def add(self, caller: Caller, read: ReadInventory, watched: NewMaasImport | None = None) -> MaasImport:
        """Keeps the inventory, sealed, and where it can be read again if it is `watched`. Nothing else changes.

        Hosts that an earlier import has taken over from the MAAS that is watched stay taken over.

        Raises WrongState if another import watches the same MAAS: it is in charge of hosts that this one would import.
        """
        caller.require_admin()
        inventory = read.inventory
        counts, keys = counts_of(inventory), self.host_keys(inventory)
        async with self.database.transaction() as db:
            await watched_store.lock_watched(db)
            await _check_unwatched(db, inventory.origin, watch=watched is not None)
            import_id = await store.insert(db, inventory.origin, counts, keys, caller.account_id)
            await self.inventories.write(db, import_id, read, counts, keys)
            if watched is not None:
                sealed = self.credentials.seal_data(import_id, MAAS_IMPORT_KEY, watched.key.encode())
                await store.watch(db, import_id, watched, sealed)
                state = RegionState(hosts=await read_hosts(db))
                here = known_hosts(inventory, state, simulated_allowed=self.simulated_allowed)
                ids = {source_id: one.id for source_id, one in here.items()}
                await watched_store.add_taken(db, import_id, ids, [one.system_id for one in inventory.machines])
            message = f"What {inventory.origin.label} knew was read for an import from MAAS."
            await Events.record(db, "maas_import_added", message, caller=caller)
        return await self.read(caller, import_id)

    async def plan(self, caller: Caller, import_id: int, choices: Choices) -> Plan:
        """Compares the import with the region as it is now. Raises InvalidRequest for a choice that is none."""
        return (await self._plan(caller, import_id, choices))[0]

    async def _plan(
        self, caller: Caller, import_id: int, choices: Choices, *, taking: str = ""
    ) -> tuple[Plan, datetime]:
        """Returns the plan, and when its inventory was read. `taking` is the host that is taken over, by id in MAAS."""
        await self.read(caller, import_id)
        inventory, read_at = await self.inventories.read_dated(import_id)
        async with self.database.connection() as db:
            state = (await read_state(db, import_id, inventory.origin.uuid)).taking(taking)
        make = partial(_made, simulated_allowed=self.simulated_allowed)
        return await asyncio.to_thread(make, import_id, inventory, state, choices), read_at  # seconds, of a large MAAS

    async def start(
        self,
        caller: Caller,
        import_id: int,
        seen: SeenPlan,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Opens the operation that carries out the plan that a person has seen, or returns the open one.

        Raises WrongState if the plan is another by now, or has conflicts without a choice; InvalidRequest.
        """
        different = seen.differences((await self.plan(caller, import_id, seen.planned_with)).items)
        if different:
            raise WrongState(
                f"The plan is another by now: {first_of(different, _MAX_NAMED)} Nothing was imported; make a new plan.",
                differences=len(different),
            )
        plan, read_at = await self._plan(caller, import_id, seen.choices)
        return await self._start(caller, plan, read_at, idempotency_key)

    async def start_with_digest(
        self,
        caller: Caller,
        import_id: int,
        digest: str,
        choices: Choices,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """As `start`, with the digest of the plan that was seen, which was made without choices."""
        if (await self.plan(caller, import_id, {})).digest != digest:
            raise WrongState("The plan is another by now. Nothing was imported; look at the new plan.")
        plan, read_at = await self._plan(caller, import_id, choices)
        return await self._start(caller, plan, read_at, idempotency_key)

    async def start_host(
        self,
        caller: Caller,
        import_id: int,
        host: TakenHost,
        choices: Choices,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Opens the operation that brings the machines of one more host of a watched import, and then takes it over.

        Earlier choices count unless `choices` has others. Raises WrongState for conflicts without one, and Busy while
        something else is imported.
        """
        async with self.database.connection() as db:
            before = read_choices(await store.read_choices(db, import_id))
        plan, _ = await self._plan(caller, import_id, {}, taking=host.source_id)
        decided = {**kept_choices(plan, before), **choices}
        plan, read_at = await self._plan(caller, import_id, decided, taking=host.source_id)
        return await self._start(caller, plan, read_at, idempotency_key, host)

    async def _start(
        self,
        caller: Caller,
        plan: Plan,
        read_at: datetime,
        idempotency_key: IdempotencyKey | None,
        host: TakenHost | None = None,
    ) -> Operation:
        undecided = plan.undecided
        if undecided:
            named = [f"{one.kind} {one.source_id} ({one.name}): {one.reason}" for one in undecided]
            raise WrongState(
                f"Choose first what becomes of {number_of(len(undecided), 'conflict')}. {first_of(named, _MAX_NAMED)}",
                conflicts=len(undecided),
            )

        choices = stored_choices(plan.choices)

        async def open_() -> int:
            async with self.database.transaction() as db:
                active = await store.open_operation_of(db, plan.import_id)
                if active is not None:
                    return await self._joined(active, host, choices)
                await watched_store.lock_watched(db)
                if not await watched_store.is_watched(db, plan.import_id):  # its hosts are watched by no other
                    await _check_unwatched(db, plan.origin, import_id=plan.import_id)
                if await store.read_at(db, plan.import_id) != read_at:
                    raise WrongState("MAAS has just been read again. Nothing was imported; try again.")
                request = ImportRequest(
                    import_=plan.import_id, source=plan.origin.label, choices=choices,
                    host=None if host is None else host.host_id, source_host="" if host is None else host.source_id,
                )  # fmt: skip
                operation_id = await intent_store.insert(
                    db, OperationKind.IMPORT, host_id=None, host_name=None, account_id=caller.account_id,
                    request=stored_request(request), max_failures=MAX_FAILURES,
                )  # fmt: skip
                await store.tie(db, plan.import_id, operation_id, choices)
                await idempotency_service.tie_key(db, idempotency_key, operation_id)
                what = "The import" if host is None else f"Taking over {host.host_name}"
                message = f"{what} from {plan.origin.label} was begun."
                await Events.record(db, "maas_import_begun", message, caller=caller)
            return operation_id

        return await self.operations.idempotent(idempotency_key, open_)

    async def _joined(self, active: int, host: TakenHost | None, choices: StoredChoices) -> int:
        """Returns the open operation if it does the same, with the same choices. Raises Busy."""
        operation = await self.operations.read(active, caller=None)
        request = operation.request_as(ImportRequest)
        if request.host == (None if host is None else host.host_id) and request.choices == choices:
            return active
        raise Busy(
            f"Operation {active} imports from the same MAAS. Wait for its end: innkeeper operation read {active}",
            operation=active,
        )

    async def delete(self, caller: Caller, import_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Forgets what was read, with its secrets. What was imported stays. Raises WrongState while it is imported."""
        found = await self.read(caller, import_id)
        async with self.database.transaction(dry_run=dry_run) as db:
            active = await store.open_operation_of(db, import_id)
            if active is not None:
                raise WrongState(
                    f"Operation {active} imports it. Cancel that first: innkeeper operation cancel {active}",
                    operation=active,
                )
            await store.delete(db, import_id)
            message = f"What was read of {found.origin.label} was deleted."
            await Events.record(db, "maas_import_deleted", message, caller=caller)
        if not dry_run:
            self.inventories.forget(import_id)
        record = AffectedRecord(kind="import from MAAS", id=str(import_id), name=found.origin.label)
        effects = ["What was imported from it stays as it is."]
        if found.watched:
            effects.append("Hosts that were not taken over stay in maintenance, and are not compared any more.")
        return DeletionPlan(name=found.origin.label, deleted=(record,), effects=tuple(effects))

    def host_keys(self, inventory: Inventory) -> tuple[str, ...]:
        keys = []
        for host in inventory.hosts:
            driver = driver_of(host)
            try:
                address = address_of(host, simulated_allowed=self.simulated_allowed)
            except InvalidRequest:  # the plan says so
                continue
            if driver is not None:
                keys.append(host_key(driver.value, address, project_of(host)))
        return tuple(keys)


def _made(
    import_id: int, inventory: Inventory, state: RegionState, choices: Choices, *, simulated_allowed: bool
) -> Plan:
    """Returns the plan, with what takes time computed."""
    plan = make_plan(import_id, inventory, state, choices, simulated_allowed=simulated_allowed)
    _ = plan.digest, plan.counts
    return plan


async def _check_unwatched(db: Db, origin: Origin, *, import_id: int = 0, watch: bool = False) -> None:
    """Raises WrongState if another import watches the MAAS, or Busy if one is carried out and this one would watch."""
    other = await watched_store.same_maas(db, origin, import_id=import_id)
    if other is None:
        return
    if other.watched:
        raise WrongState(
            f"Import {other.id} watches this MAAS, at {other.label}, which stays in charge of its hosts until each is "
            f"taken over: innkeeper vm-host take-over NAME. To read it again: innkeeper maas-import compare {other.id}."
            f" To begin anew, delete that import first: innkeeper maas-import delete {other.id}",
            maas_import=other.id,
        )
    if watch and other.operation_id is not None:
        raise Busy(
            f"Operation {other.operation_id} imports from this MAAS, by import {other.id}, and adopts its machines. "
            f"Wait for its end before you watch it: innkeeper operation read {other.operation_id}",
            operation=other.operation_id,
        )


def counts_of(inventory: Inventory) -> dict[str, int]:
    """Returns how many objects it has, by kind."""
    return {
        "hosts": len(inventory.hosts), "clusters": len(inventory.clusters), "machines": len(inventory.machines),
        "users": len(inventory.users), "zones": len(inventory.zones), "pools": len(inventory.pools),
        "tags": len(inventory.tags), "networks": len(inventory.subnets),
    }  # fmt: skip
