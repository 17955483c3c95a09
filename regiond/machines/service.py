"""What can be done with machines: look, power, delete. Composing is next door; others import only these services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from common.errors import Busy, NotAllowed, NotFound
from common.rpc.commands import HOST_FIND, GuestCall
from common.values import GuestChange, GuestEvent, GuestRef, Mark, PowerAction, PowerState
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.hosts import handover
from regiond.ledger import store as ledger
from regiond.machines import forgotten, store
from regiond.machines.composing import Composer
from regiond.machines.life import Event
from regiond.machines.model import ANYWHERE, AskedHosts, ComposeRequest, MachineFilter, MachineView
from regiond.machines.opening import open_clean_up, open_operation
from regiond.machines.spec import known_spec
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind, OperationState
from regiond.operations.service import Operations, request_hash
from regiond.placement.model import Placement
from regiond.placement.place import Strategy
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIND_DEADLINE_S = 20.0


class Machines:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        calls: HostCalls,
        composer: Composer,
        *,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._operations = operations
        self._calls = calls
        self._composer = composer
        self._installation_id = installation_id

    async def list(self, wanted: MachineFilter) -> tuple[MachineView, ...]:
        async with self._database.connection() as db:
            return await store.list_machines(db, wanted)

    async def read(self, system_id: str) -> MachineView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await store.read(db, system_id)

    async def start_compose(
        self,
        caller: Caller,
        request: ComposeRequest,
        *,
        idempotency_key: str | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """See `Composer.start_compose`."""
        return await self._composer.start_compose(caller, request, idempotency_key=idempotency_key, need_rack=need_rack)

    async def dry_run(
        self, request: ComposeRequest, asked: AskedHosts = ANYWHERE, *, strategy: Strategy | None = None
    ) -> Placement:
        """See `Composer.dry_run`."""
        return await self._composer.dry_run(request, asked, strategy=strategy)

    async def start_power(
        self,
        caller: Caller,
        system_id: str,
        action: PowerAction,
        *,
        idempotency_key: str | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Raises NotFound, Busy, WrongState, RackUnreachable (with `need_rack`), IdempotencyMismatch."""
        return await self._start(
            caller, OperationKind.POWER, system_id, {"action": action.value}, idempotency_key, need_rack=need_rack
        )

    async def start_delete(
        self, caller: Caller, system_id: str, *, idempotency_key: str | None = None, need_rack: bool = False
    ) -> Operation:
        """The guest is removed first, then the record. Raises what `start_power` does."""
        return await self._start(caller, OperationKind.DELETE, system_id, {}, idempotency_key, need_rack=need_rack)

    async def query_power(self, caller: Caller, system_id: str) -> PowerState:
        """What the host says right now; UNKNOWN when it has no such guest."""
        machine = await self.read(system_id)
        if machine.host_id is None:
            return PowerState.UNKNOWN
        ref = known_spec(machine, self._installation_id).ref
        found = await self._calls.call(
            machine.host_id, HOST_FIND, lambda access: GuestCall(access=access, guest=ref), deadline_s=FIND_DEADLINE_S
        )
        return found.guest.power if found.guest is not None else PowerState.UNKNOWN

    async def guest_changed(self, host_id: int, change: GuestChange) -> bool:
        """An event of a hypervisor. True when only a refresh of the host can say what it means."""
        if change.event is not GuestEvent.POWER or change.power is None:
            return True
        async with self._database.transaction() as db:
            system_id = await store.guest_power_changed(
                db, host_id, change.guest_id, change.guest_name, change.power.value
            )
        if system_id is not None:
            log.info("machine_power_changed", system_id=system_id, power=change.power.value)
        return True  # the guest's own row is written by a refresh

    # For the removal of a host --------------------------------------------------------------------------------------

    async def destroy_all(self, operation: Operation) -> Sequence[str]:
        """See `regiond.hosts.steps.HostMachines`."""
        if operation.host_id is None:
            return ()
        async with self._database.connection() as db:
            machines = await store.of_host(db, operation.host_id)
            children = await operation_store.list_operations(db, parent_id=operation.id, limit=10_000)
        tried = {child.machine_id: child for child in children if child.machine_id is not None}
        failures: list[str] = []
        waiting = 0
        for machine in machines:
            child = tried.get(machine.id)
            if child is None or not child.state.ended:
                waiting += 1
                if child is None:
                    await self._open_child(operation, machine)
            elif child.state is not OperationState.SUCCEEDED:
                failures.append(f"{machine.hostname}: {child.error_message}")
        if waiting:
            raise Busy(f"{waiting} machines on {operation.host_name} are still being destroyed.", machines=waiting)
        return failures

    async def forget_all(self, db: Db, host_id: int) -> int:
        """See `regiond.hosts.steps.HostMachines`."""
        machines = await store.of_host(db, host_id)
        await forgotten.remember(db, host_id)
        # Where the server stays, so do the guests in its ledger, and nobody is promised their room meanwhile.
        end_claims = handover.let_go if await handover.is_shared(db, host_id) else ledger.release_machine
        for machine in machines:
            active = await operation_store.active(db, OperationKind.POWER, machine_id=machine.id)
            if active is not None:
                raise Busy(f"Operation {active.id} still acts on {machine.hostname}.", operation=active.id)
            await end_claims(db, machine.id)
            await store.delete(db, machine.id)
        return len(machines)

    async def clean_up(self, db: Db, host_id: int, host_name: str, guest_name: str, mark: Mark) -> None:
        """Open the removal of a guest whose machine was given up, unless that is under way."""
        await open_clean_up(db, host_id, host_name, GuestRef(name=guest_name, mark=mark))

    async def _open_child(self, parent: Operation, machine: MachineView) -> None:
        """Another operation may act on the machine, or have ended it: the next round sees what came of that."""
        try:
            async with self._database.transaction() as db:
                await self._open(db, OperationKind.DELETE, machine, {}, parent.account_id, parent_id=parent.id)
        except (Busy, NotFound) as error:
            log.info("machine_not_destroyed_yet", system_id=machine.system_id, because=error.message)

    async def _start(
        self,
        caller: Caller,
        kind: OperationKind,
        system_id: str,
        request: Mapping[str, Any],
        key: str | None,
        *,
        need_rack: bool,
    ) -> Operation:
        asked = {"kind": kind.value, "system_id": system_id, **request}

        async def open_() -> int:
            machine = await self.read(system_id)
            if not caller.is_admin and machine.owner != caller.username:
                raise NotAllowed(f"{machine.hostname} is not yours.")
            if kind is OperationKind.DELETE and not (caller.is_admin or machine.composed_by_allocate):
                raise NotAllowed(f"{machine.hostname} was there before you had it: release it instead.")
            if need_rack and machine.host_id is not None:
                await self._calls.require(machine.host_id)
            async with self._database.transaction() as db:
                operation_id = await self._open(db, kind, machine, request, caller.account_id)
                if key is not None:
                    await operation_store.keep_key(db, caller.account_id, key, request_hash(asked), operation_id)
            return operation_id

        return await self._operations.once(caller, key, asked, open_)

    async def _open(
        self,
        db: Db,
        kind: OperationKind,
        machine: MachineView,
        request: Mapping[str, Any],
        account_id: int | None,
        *,
        parent_id: int | None = None,
    ) -> int:
        begins = Event.DELETE if kind is OperationKind.DELETE else None
        return await open_operation(
            db, kind, machine, self._installation_id, account_id=account_id, begins=begins, request=request,
            parent_id=parent_id,
        )  # fmt: skip
