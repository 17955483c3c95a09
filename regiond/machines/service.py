"""Lists, powers and deletes machines; functions that the reconciler calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from common.errors import NotAllowed, NotFound
from common.rpc.commands.host_commands import HOST_FIND, GuestCall
from common.values import GuestChange, GuestEvent, GuestRef, PowerAction, PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.hosts.model import POWER_CHANGED, POWER_CHANGED_TEXT
from regiond.hosts.removal_model import HostRemoval
from regiond.ledger import machine_claims
from regiond.ledger.model import GuestClaims
from regiond.machines.core import store, view_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.host_workload import HostWorkload, read_workloads
from regiond.machines.core.operation_intents import check_owner_is, open_clean_up, open_operation, with_fresh_view
from regiond.machines.core.ownership_rules import check_owner, check_unlocked, composed_for
from regiond.machines.core.power_parameter_store import power_parameters
from regiond.machines.core.stock import STARTED_ELSEWHERE, record_end
from regiond.machines.core.store import announce
from regiond.machines.leaving.removal import released_store
from regiond.machines.leaving.removal.current_facts import update_facts
from regiond.machines.leaving.removal.deletion_requests import open_or_join_deletion
from regiond.machines.leaving.removal.host_removal import host_removal_plan
from regiond.machines.power.plan import power_plan
from regiond.machines.removal_plans.affected_guests import affected_guest
from regiond.machines.removal_plans.host_removal_plan import HostRemovalPlan, combined
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan, deletion_plan
from regiond.machines.running.deployment.outcome import stop_deployment
from regiond.machines.searches import page_store
from regiond.machines.searches.machine_searches import MachineSearches
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import GroupCounts, MachineView
from regiond.machines.values.power import PowerPlan, PowerRequest
from regiond.machines.values.removals import DeletionRequest
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MachineState
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations
from regiond.operations.service import Operations
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_object

FIND_DEADLINE_S = 20.0

# These functions join the caller's transaction.


class Machines(MachineSearches):
    def __init__(
        self,
        database: Database,
        operations: Operations,
        calls: HostCalls,
        *,
        installation_id: UUID,
        own_operations: OwnOperations = NO_OWN_OPERATIONS,
    ) -> None:
        super().__init__(database)
        self._own_operations = own_operations
        self._operations = operations
        self._calls = calls
        self._installation_id = installation_id

    async def list(self, wanted: MachineFilter, *, caller: Caller | None = None) -> tuple[MachineView, ...]:
        """Returns the machines that the caller may see (no caller: all). For a few machines."""
        async with self._database.connection() as db:
            return await view_store.list_machines(db, wanted, caller=caller)

    async def system_ids(self, wanted: MachineFilter, *, caller: Caller | None = None) -> Sequence[str]:
        """Returns the system ids of the machines of a filter that the caller may see."""
        async with self._database.connection() as db:
            return await view_store.system_ids(db, wanted, caller=caller)

    async def count(self, *, caller: Caller | None = None) -> int:
        """Returns the number of machines that the caller may see."""
        async with self._database.connection() as db:
            return await page_store.count(db, caller=caller)

    async def count_by_group(self, *, caller: Caller | None = None) -> GroupCounts:
        """Returns the numbers of machines that the caller may see in each resource pool and zone."""
        async with self._database.connection() as db:
            return await page_store.count_by_group(db, caller=caller)

    async def read(self, system_id: str, *, caller: Caller | None = None) -> MachineView:
        """Returns the machine. Raises NotFound, also for a machine that the caller may not see."""
        async with self._database.connection() as db:
            return await view_store.read(db, system_id, caller=caller)

    async def claims(self, machine: MachineView) -> GuestClaims:
        """Returns what the machine claims of the server of its host; nothing if it is on none."""
        async with self._database.connection() as db:
            return await machine_claims.claims_of_machine(db, machine.id)

    async def released(self, system_id: str, *, caller: Caller | None = None) -> MachineView:
        """Returns a machine that its release has just deleted, as Ready: see `released_store`. Raises NotFound."""
        async with self._database.connection() as db:
            found = await released_store.read(db, system_id, caller=caller)
        if found is None:
            raise NotFound(no_object("machine", system_id))
        return found

    async def announce(self, operation: Operation) -> bool:
        """Records that a client knows of the machine while this compose continues: if it fails, the machine stays.

        Returns False if the operation has just failed and the machine was deleted. Idempotent.
        """
        if operation.machine_id is None:
            return False
        async with self._database.transaction() as db:
            return await announce(db, operation.machine_id)

    async def start_power(
        self,
        caller: Caller | None,
        system_id: str,
        action: PowerAction,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that changes the machine's power. No caller: the sender has no account here.

        Raises NotFound, NotAllowed, Busy, WrongState, IdempotencyMismatch, and RackUnreachable with `need_rack`.
        """
        return await self._start(
            caller, OperationKind.POWER, system_id, PowerRequest(action=action), idempotency_key, need_rack=need_rack,
            parent=parent,
        )  # fmt: skip

    async def power_plan(
        self, caller: Caller, system_id: str, action: PowerAction, *, need_rack: bool = False
    ) -> PowerPlan:
        """Returns what `start_power` would change, and changes nothing. Raises the errors of `start_power`."""
        machine = await self._checked(caller, OperationKind.POWER, system_id, need_rack=need_rack)

        async def write(db: Db) -> PowerPlan:
            await open_operation(
                db, OperationKind.POWER, machine, self._installation_id, account_id=caller.account_id,
                request=PowerRequest(action=action),
            )  # fmt: skip
            await check_owner_is(db, machine)
            return power_plan(machine, action)

        return await self._database.in_transaction(write, dry_run=True)

    async def start_delete(
        self,
        caller: Caller,
        system_id: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation that removes the guest, then the machine's row. Raises as `start_power`.

        Returns the open deletion if there is one. A machine whose compose failed is deleted at once.
        """
        return await self._start(
            caller, OperationKind.DELETE, system_id, None, idempotency_key, need_rack=need_rack, parent=parent,
        )  # fmt: skip

    async def deletion_plan(
        self, caller: Caller, system_id: str, *, need_rack: bool = False, asks_host: bool = True
    ) -> MachineRemovalPlan:
        """Returns what `start_delete` would change, and changes nothing. Raises the errors of `start_delete`.

        What goes along is as the host has it now, without `asks_host` as of its last refresh.
        """
        machine = await self._checked(caller, OperationKind.DELETE, system_id, need_rack=need_rack)
        if asks_host:
            await update_facts(self._database, self._calls, machine, self._installation_id)

        async def write(db: Db) -> MachineRemovalPlan:
            guest = await affected_guest(db, machine)
            now, _ = await stop_deployment(db, machine, what="deleted")
            if machine.state is not MachineState.FAILED_COMPOSE:
                await open_operation(
                    db, OperationKind.DELETE, now, self._installation_id, account_id=caller.account_id,
                    begins=MachineEvent.DELETE,
                )  # fmt: skip
            return deletion_plan(guest)

        return await self._database.in_transaction(write, dry_run=True)

    async def removal_plan(
        self, caller: Caller, name: str, host_ids: Sequence[int], removal: HostRemoval, *, db: Db | None = None
    ) -> HostRemovalPlan:
        """Returns the plan of the removal of these hosts; `name` names the host or cluster.

        With `db`, reads in the caller's transaction. Raises WrongState for a machine whose disk prevents its deletion.
        """
        caller.require_admin()
        async with self._database.joined(db) as joined:
            plans = [
                await host_removal_plan(
                    joined, one, removal, together_with=host_ids, installation_id=self._installation_id
                )
                for one in host_ids
            ]
            return combined(name, plans)

    async def workloads(self, host_ids: Sequence[int], *, caller: Caller | None = None) -> tuple[HostWorkload, ...]:
        """Returns the workload of each host that the caller may see, in the order of the hosts. Raises NotFound."""
        async with self._database.connection() as db:
            return await read_workloads(db, host_ids, caller=caller)

    async def power_parameters(self, caller: Caller, system_ids: Sequence[str] = ()) -> Mapping[str, Mapping[str, str]]:
        """Returns the power parameters by system id: see `power_parameter_store`. Raises NotAllowed."""
        caller.require_admin()
        async with self._database.connection() as db:
            return await power_parameters(db, system_ids)

    async def query_power(self, caller: Caller, system_id: str) -> PowerState:
        """Returns the power state that the host reports now; UNKNOWN if it has no such guest.

        Raises NotFound, RackUnreachable, HostUnreachable.
        """
        machine = await self.read(system_id)
        if machine.host_id is None:
            return PowerState.UNKNOWN
        ref = known_spec(machine, self._installation_id).ref
        found = await self._calls.call(
            machine.host_id, HOST_FIND, lambda access: GuestCall(access=access, guest=ref), deadline_s=FIND_DEADLINE_S
        )
        return found.guest.power if found.guest is not None else PowerState.UNKNOWN

    async def guest_changed(self, host_id: int, change: GuestChange) -> bool:
        """Records a hypervisor event; returns whether the host needs a refresh, which updates the guest's own row.

        It needs none soon for what an operation of this process does: the answer of the host is recorded with its end.
        """
        if self._own_operations.act_on(host_id, change.guest_name):
            return False
        if change.event is not GuestEvent.POWER or change.power is None:
            return True
        async with self._database.transaction() as db:
            changed = await store.guest_power_changed(
                db, host_id, change.guest_id, change.guest_name, change.power.value
            )
            if changed is not None:
                text = POWER_CHANGED_TEXT.format(
                    before=changed.power_before, after=change.power.value, host=changed.host_name
                )
                await Events.record(
                    db, POWER_CHANGED, f"{changed.hostname}: {text}", host_id=host_id, system_id=changed.system_id
                )
                if changed.ended is not None:
                    await record_end(db, changed.ended, STARTED_ELSEWHERE)
        return True

    async def clean_up(self, db: Db, host_id: int, host_name: str, guest: GuestRef, guest_id: str) -> None:
        """Opens the operation that removes the guest with this id, whose machine has a tombstone. Idempotent."""
        await open_clean_up(db, host_id, host_name, guest, guest_id=guest_id)

    async def _checked(
        self, caller: Caller | None, kind: OperationKind, system_id: str, *, need_rack: bool
    ) -> MachineView:
        """Returns the machine. Raises NotFound, NotAllowed, and RackUnreachable with `need_rack`."""
        machine = await self.read(system_id)
        if caller is not None:
            _check_may_start(caller, kind, machine)
        if kind is OperationKind.POWER:
            check_unlocked(machine)
        if need_rack and machine.host_id is not None:
            await self._calls.require(machine.host_id)
        return machine

    async def _start(
        self,
        caller: Caller | None,
        kind: OperationKind,
        system_id: str,
        request: PowerRequest | None,
        key: IdempotencyKey | None,
        *,
        need_rack: bool,
        parent: Parent | None = None,
    ) -> Operation:
        async def tie_key(db: Db, operation_id: int) -> None:
            await idempotency_service.tie_key(db, key, operation_id)

        async def open_new(machine: MachineView) -> int:
            async def write(db: Db) -> int:
                now, asked = machine, request or DeletionRequest()
                if kind is OperationKind.DELETE:
                    now, earlier = await stop_deployment(db, machine, what="deleted")
                    asked = DeletionRequest(earlier=earlier)
                operation_id = await open_operation(
                    db, kind, now, self._installation_id, account_id=None if caller is None else caller.account_id,
                    begins=MachineEvent.DELETE if kind is OperationKind.DELETE else None,
                    request=asked, parent=parent,
                )  # fmt: skip
                await check_owner_is(db, machine)
                await tie_key(db, operation_id)
                return operation_id

            return await self._database.in_transaction(write)

        async def open_() -> int:
            machine = await self._checked(caller, kind, system_id, need_rack=need_rack)
            if kind is OperationKind.DELETE:
                await update_facts(self._database, self._calls, machine, self._installation_id, if_protected=True)
            if caller is not None and kind is OperationKind.DELETE and parent is None:
                return await open_or_join_deletion(self._database, caller, machine, tie_key, partial(open_new, machine))
            return await open_new(machine)

        return await self._operations.idempotent(key, partial(with_fresh_view, open_))


def _check_may_start(caller: Caller, kind: OperationKind, machine: MachineView) -> None:
    check_owner(caller, machine)
    if kind is OperationKind.DELETE and not composed_for(caller, machine):
        raise NotAllowed(f"Only administrators may delete {machine.hostname}: release it instead.")
