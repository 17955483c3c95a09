"""Opens the releases of one machine or of several machines at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from attrs import evolve

from common.errors import InvalidRequest, NotAllowed, NotFound
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.guest_spec import known_spec
from regiond.machines.core.operation_intents import StaleView, open_operation, with_fresh_view
from regiond.machines.core.ownership_rules import (
    check_erasable,
    check_may_release,
    check_releasable,
    check_release_confirmed,
    is_free,
    left_to,
    may_release,
    release_facts,
    release_work,
)
from regiond.machines.removal_plans.affected_guests import affected_guest
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan, Release
from regiond.machines.removal_plans.machine_removal_plan import release_plan as removal_plan
from regiond.machines.running.deployment.outcome import stop_deployment
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import DEFAULT_RELEASE, ReleaseOptions
from regiond.machines.values.states import MachineState
from regiond.operations import store as operation_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.operations.service import Operations
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller


class Releases:
    def __init__(self, database: Database, operations: Operations, calls: HostCalls, *, installation_id: UUID) -> None:
        self._database = database
        self._operations = operations
        self._calls = calls
        self._installation_id = installation_id

    async def start(
        self,
        caller: Caller,
        system_id: str,
        *,
        comment: str = "",
        options: ReleaseOptions = DEFAULT_RELEASE,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation | None:
        """Returns the operation that releases the machine, also if it is already running; None if it has no owner.

        Destroys a machine that allocation composed. Raises NotFound, NotAllowed, WrongState, Busy, IdempotencyMismatch,
        InvalidRequest for disks that cannot be erased, and RackUnreachable with `need_rack`.
        """

        async def open_() -> int:
            if need_rack:
                await self._require_rack(system_id)
            return await self._database.in_transaction(write)

        async def write(db: Db) -> int:
            machine = await view_store.read(db, system_id)
            check_may_release(caller, machine)
            if machine.state is MachineState.RELEASING:
                active = await operation_store.active(db, OperationKind.RELEASE, machine_id=machine.id)
                if active is not None:
                    await idempotency_service.tie_key(db, idempotency_key, active.id)
                    return active.id
            if is_free(machine):
                raise _AlreadyFree
            operation_id = await self._open_release(db, caller, machine, comment, options, parent)
            await idempotency_service.tie_key(db, idempotency_key, operation_id)
            return operation_id

        try:
            return await self._operations.idempotent(idempotency_key, partial(with_fresh_view, open_))
        except _AlreadyFree:
            return None

    async def plan(
        self,
        caller: Caller,
        system_id: str,
        *,
        options: ReleaseOptions = DEFAULT_RELEASE,
        need_rack: bool = False,
        asks: bool = True,
    ) -> MachineRemovalPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`.

        With `asks`, a person is asked about an adopted machine next.
        """
        if need_rack:
            await self._require_rack(system_id)

        async def write(db: Db) -> MachineRemovalPlan:
            machine = await view_store.read(db, system_id)
            check_may_release(caller, machine)
            plan = removal_plan([await _release(db, machine, options)], erase=options.erase)
            if not is_free(machine) and machine.state is not MachineState.RELEASING:
                await self._open_release(db, caller, machine, "", evolve(options, adopted=asks or options.adopted))
            return plan

        return await self._database.in_transaction(write, dry_run=True)

    async def plan_all(
        self, caller: Caller, system_ids: Sequence[str], *, options: ReleaseOptions = DEFAULT_RELEASE
    ) -> MachineRemovalPlan:
        """Returns what `start_all` would change, and changes nothing. Raises the errors of `start_all`."""

        async def write(db: Db) -> MachineRemovalPlan:
            machines = await self._to_release(db, caller, system_ids)
            plan = removal_plan([await _release(db, machine, options) for machine in machines], erase=options.erase)
            await self._open_releases(db, caller, machines, "", options)
            return plan

        return await self._database.in_transaction(write, dry_run=True)

    async def start_all(
        self,
        caller: Caller,
        system_ids: Sequence[str],
        *,
        comment: str = "",
        options: ReleaseOptions = DEFAULT_RELEASE,
    ) -> tuple[str, ...]:
        """Releases all of the machines or none; returns the system ids of those that had an owner.

        Raises InvalidRequest for unknown machines and disks that cannot be erased; NotAllowed and WrongState name every
        machine they apply to.
        """

        async def write(db: Db) -> tuple[str, ...]:
            machines = await self._to_release(db, caller, system_ids)
            return await self._open_releases(db, caller, machines, comment, options)

        return await with_fresh_view(lambda: self._database.in_transaction(write))

    async def _to_release(self, db: Db, caller: Caller, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
        """Returns the machines. Raises InvalidRequest for unknown machines, NotAllowed for machines of others."""
        try:
            machines = await view_store.read_several(db, list(dict.fromkeys(system_ids)))
        except NotFound as error:
            raise InvalidRequest(error.message) from error
        not_owned = [machine.system_id for machine in machines if not may_release(caller, machine)]
        if not_owned:
            raise NotAllowed(f"You don't have the required permission to release: {', '.join(not_owned)}.")
        return machines

    async def _open_releases(
        self, db: Db, caller: Caller, machines: Sequence[MachineView], comment: str, options: ReleaseOptions
    ) -> tuple[str, ...]:
        """Returns the system ids of machines that have an owner. Raises WrongState that names unreleasable machines."""
        owned = [machine for machine in machines if not is_free(machine)]
        check_releasable([machine for machine in owned if machine.state is not MachineState.DEPLOYING])
        for machine in sorted(owned, key=lambda machine: machine.id):  # avoids deadlocks
            await self._open_release(db, caller, machine, comment, options)
        return tuple(machine.system_id for machine in owned)

    async def _require_rack(self, system_id: str) -> None:
        async with self._database.connection() as db:
            machine = await view_store.read(db, system_id)
        if machine.host_id is not None and not is_free(machine):
            await self._calls.require(machine.host_id)

    async def _open_release(
        self,
        db: Db,
        caller: Caller,
        machine: MachineView,
        comment: str,
        options: ReleaseOptions,
        parent: Parent | None = None,
    ) -> int:
        check_erasable(machine, options)
        check_release_confirmed(machine, options)
        machine, earlier = await stop_deployment(db, machine, what="released")
        destroys, work = machine.composed_by_allocate, release_work(machine, options)
        if work.overwrite or (not destroys and work.empties):
            known_spec(machine, self._installation_id).root_disk()
        operation_id = await open_operation(
            db, OperationKind.DELETE if destroys else OperationKind.RELEASE, machine, self._installation_id,
            account_id=caller.account_id, parent=parent,
            request=evolve(work, comment=comment, earlier=earlier),
        )  # fmt: skip
        now = await view_store.read(db, machine.system_id)
        if release_facts(now) != release_facts(machine):
            raise StaleView(f"{machine.hostname} changed while it was being released; try again.")
        await lifecycle_store.apply_event(db, machine.id, MachineEvent.RELEASE)
        message = f"{machine.hostname} is being released" + (" and destroyed" if destroys else "")
        message += ", and its disks are erased" if options.erase and not destroys else ""
        await Events.record(
            db, "machine_released", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
            operation_id=operation_id, details={"comment": comment} if comment else None,
        )  # fmt: skip
        return operation_id


async def _release(db: Db, machine: MachineView, options: ReleaseOptions) -> Release:
    return Release(
        empties=release_work(machine, options).empties,
        guest=await affected_guest(db, machine),
        owner=machine.owner,
        is_free=is_free(machine),
        destroyed=machine.composed_by_allocate,
        pool=machine.pool.name,
        as_found=machine.as_found and not machine.imported,
        left_to=left_to(machine, options),
    )


class _AlreadyFree(Exception):
    """The machine has no owner."""
