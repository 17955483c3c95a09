"""Adopts guests as machines, and turns machines back into foreign guests; restarts neither."""

from __future__ import annotations

from uuid import UUID

from common.errors import InvalidRequest
from regiond.db.pool import Database, reading
from regiond.hosts.guest_ownership import lock_guests
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.adoption import store
from regiond.machines.arrivals.adoption.intents import AdoptionIntent, AdoptionIntents, open_forget
from regiond.machines.arrivals.adoption.model import select_guests
from regiond.machines.arrivals.adoption.owner import find_owner
from regiond.machines.core import view_store
from regiond.machines.core.operation_intents import check_settled
from regiond.machines.detached import detached_store
from regiond.machines.removal_plans.affected_guests import affected_guest
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan, forget_plan
from regiond.machines.values.adoption import Adopted
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import AdoptRequest
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.quotas import service as quotas
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller


class Adoption:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        hosts: Hosts,
        calls: HostCalls,
        *,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._hosts = hosts
        self._calls = calls
        self._installation_id = installation_id

    async def start_adopt(
        self, caller: Caller, host_id: int, request: AdoptRequest, *, need_rack: bool = False
    ) -> tuple[Adopted, ...]:
        """Returns the result for each guest, with its operation. A machine, or a guest being adopted, is no error.

        A machine gets the requested hostname and owner. Raises InvalidRequest, with nothing written, if a named guest
        or owner does not exist, or a guest cannot be adopted or changed; with `everything`, such guests are results
        with `rejected`. Raises NotFound, NotAllowed, Busy, QuotaExceeded, and RackUnreachable with `need_rack`.
        Idempotent.
        """
        caller.require_admin()
        host = await self._hosts.read(host_id)
        if need_rack:
            await self._calls.require(host_id)
        async with self._database.transaction() as db:
            owner = await find_owner(db, caller, request.owner, host.pool)
            locked = await quotas.lock(db, account_ids=[owner.account_id], pool_ids=[host.pool.id])
            guests = await lock_guests(db, host_id)
            intents = await AdoptionIntents.on_host(
                db, host, guests, self._installation_id, caller=caller, owner=owner, gives=request.owner is not None
            )
            opened = [
                await intents.open(db, guest, request.hostname) for guest in select_guests(guests, request, host.name)
            ]
            if not request.everything and any(intent.rejection for intent in opened):
                raise InvalidRequest.of(
                    {"guests": [f"{intent.guest_name}: {intent.rejection}" for intent in opened if intent.rejection]}
                )
            await quotas.require_within(db, locked)
        return tuple([await self._adopted(intent) for intent in opened])

    async def start_forget(
        self,
        caller: Caller,
        system_id: str,
        *,
        need_rack: bool = False,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Starts the operation that removes the marker and the machine's row; the guest does not change.

        Raises NotAllowed, NotFound, Busy, WrongState, and RackUnreachable with `need_rack`.
        """

        async def open_() -> int:
            machine = await self._to_forget(caller, system_id, need_rack=need_rack)
            async with self._database.transaction() as db:
                operation_id = await open_forget(db, machine, self._installation_id, account_id=caller.account_id)
                await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        return await self._operations.idempotent(idempotency_key, open_)

    async def forget_plan(self, caller: Caller, system_id: str, *, need_rack: bool = False) -> MachineRemovalPlan:
        """Returns what `start_forget` would change, and changes nothing. Raises the errors of `start_forget`."""
        machine = await self._to_forget(caller, system_id, need_rack=need_rack)
        async with self._database.transaction(dry_run=True) as db:
            guest = await affected_guest(db, machine)
            await open_forget(db, machine, self._installation_id, account_id=caller.account_id)
        return forget_plan(guest)

    async def _to_forget(self, caller: Caller, system_id: str, *, need_rack: bool) -> MachineView:
        caller.require_admin()
        async with self._database.connection() as db:
            machine = await view_store.read(db, system_id)
        check_settled(machine)
        if need_rack and machine.host_id is not None:
            await self._calls.require(machine.host_id)
        return machine

    detached = reading(detached_store.list_detached)
    forgotten = reading(store.list_forgotten)

    async def _adopted(self, intent: AdoptionIntent) -> Adopted:
        operation = None if intent.operation_id is None else await self._operations.read(intent.operation_id)
        return Adopted(
            guest_name=intent.guest_name,
            system_id=intent.machine.system_id if intent.machine else None,
            hostname=intent.machine.hostname if intent.machine else None,
            operation=operation,
            rejected=intent.rejection,
        )
