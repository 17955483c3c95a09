"""Opens bulk operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest, NotAllowed
from common.values import PowerState
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.credentials.rewrap import BULK_USER_DATA
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.machines.arrivals.clones.service import Clones
from regiond.machines.bulk import store
from regiond.machines.bulk.changes import BulkChanges, stored
from regiond.machines.bulk.plans import in_turn, plans_or_reasons, sentences, stays
from regiond.machines.bulk.progress import BulkMachine, BulkRequest, stopped
from regiond.machines.core import view_store
from regiond.machines.core.operation_intents import check_idle
from regiond.machines.core.ownership_rules import check_may_release, check_unlocked
from regiond.machines.leaving.ownership.release_requests import Releases
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from regiond.machines.running.deployment.service import Deployments
from regiond.machines.service import Machines
from regiond.machines.values.bulk import DEFAULT_AT_ONCE, MAX_BULK_MACHINES, BulkAction, BulkChange
from regiond.machines.values.clones import CloneRequest
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import DEFAULT_RELEASE, DeployRequest, ReleaseOptions
from regiond.machines.values.search import MachineFilter
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, stored_request
from regiond.operations.service import Operations
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import refusals_now
from regiond.requests.caller import Caller, check_object

_Plan = MachineRemovalPlan | str | None  # what is removed, the reason why the machine does not change, or neither
_DEFAULT_DEPLOY = DeployRequest()
_DISKS_LOST = "What is on the root disks of these machines is lost."
MAX_FAILURES = 120  # of the operation itself, such as an unavailable database; failures of machines do not count


class Bulk:
    def __init__(
        self,
        database: Database,
        operations: Operations,
        machines: Machines,
        releases: Releases,
        deployments: Deployments,
        changes: BulkChanges,
        clones: Clones,
        seal: Credentials,
    ) -> None:
        self._database = database
        self._operations = operations
        self._machines = machines
        self._releases = releases
        self._deployments = deployments
        self._changes = changes
        self._clones = clones
        self._seal = seal

    async def start(
        self,
        caller: Caller,
        action: BulkAction,
        system_ids: Sequence[str],
        *,
        at_once: int = DEFAULT_AT_ONCE,
        comment: str = "",
        release: ReleaseOptions = DEFAULT_RELEASE,
        deploy: DeployRequest = _DEFAULT_DEPLOY,
        change: BulkChange | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Returns the operation, which has not begun with any machine yet.

        `deploy` is for deployments and rebuilds, `change` for the actions that change hardware. Raises InvalidRequest
        for too many or unknown machines, for an image or user data that no deployment can have, and for a change that
        no machine can have; NotAllowed that names every machine on which the caller may not act; IdempotencyMismatch.
        Any other obstacle to the action on a machine ends the child of that machine.
        """
        ids = tuple(dict.fromkeys(system_ids))

        async def open_() -> int:
            machines = await self._checked(caller, action, ids, change)
            if action.deploys:
                await self._deployments.check(deploy, machines)
            request = BulkRequest(
                action=action,
                machines=tuple(map(_named, machines)),
                at_once=at_once,
                comment=comment,
                release=release,
                image=deploy.image_name,
                **stored(change),
            )
            async with self._database.transaction() as db:
                operation_id = await self._insert(db, caller, request, idempotency_key)
                if deploy.encoded_user_data:
                    sealed = self._seal.seal_data(operation_id, BULK_USER_DATA, deploy.encoded_user_data.encode())
                    await store.insert_user_data(db, operation_id, sealed)
            return operation_id

        return await self._operations.idempotent(idempotency_key, open_)

    async def stopped_by(self, caller: Caller, operation_id: int) -> tuple[str, ...]:
        """Returns the system ids of the machines that ran until this bulk operation powered them off.

        Those that the caller does not see any more are left out. Raises NotFound; InvalidRequest for an operation that
        powered none off.
        """
        operation = await self._operations.read(operation_id, caller=caller)
        if operation.kind is not OperationKind.BULK:
            raise InvalidRequest.of({"stopped_by": [f"Operation {operation_id} is no bulk operation."]})
        request = operation.request_as(BulkRequest)
        ids = stopped(request, await self._operations.children(operation_id))
        async with self._database.connection() as db:
            found = await view_store.list_machines(db, MachineFilter(system_ids=ids), caller=caller) if ids else ()
        present = {machine.system_id for machine in found}
        left = tuple(system_id for system_id in ids if system_id in present)
        if not left:
            reason = f"Operation {operation_id} has powered off no machine that ran and is still there."
            raise InvalidRequest.of({"stopped_by": [reason]})
        return left

    async def start_clones(
        self,
        caller: Caller,
        system_id: str,
        request: CloneRequest,
        *,
        count: int,
        at_once: int = DEFAULT_AT_ONCE,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation:
        """Returns the operation, which has not begun with any of `count` clones of the machine yet.

        Raises what would refuse each of them, as the clone of one. Any other obstacle, such as capacity that the ones
        before it took, ends the child of that clone.
        """

        async def open_() -> int:
            names = await self._clones.names_of_several(caller, system_id, request, count)
            clones = tuple(BulkMachine(system_id=system_id, hostname=name) for name in names)
            async with self._database.transaction() as db:
                stored_request = BulkRequest(action=BulkAction.CLONE, machines=clones, at_once=at_once, clone=request)
                return await self._insert(db, caller, stored_request, idempotency_key)

        return await self._operations.idempotent(idempotency_key, open_)

    async def _insert(
        self, db: Db, caller: Caller, request: BulkRequest, idempotency_key: IdempotencyKey | None
    ) -> int:
        operation_id = await intent_store.insert(
            db, OperationKind.BULK, host_id=None, host_name=None, account_id=caller.account_id,
            request=stored_request(request), max_failures=MAX_FAILURES,
        )  # fmt: skip
        await idempotency_service.tie_key(db, idempotency_key, operation_id)
        return operation_id

    async def plan(
        self,
        caller: Caller,
        action: BulkAction,
        system_ids: Sequence[str],
        *,
        release: ReleaseOptions = DEFAULT_RELEASE,
        deploy: DeployRequest = _DEFAULT_DEPLOY,
        change: BulkChange | None = None,
    ) -> MachineRemovalPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`.

        The effects name the machines that would not change, with the reasons.
        """
        machines = await self._checked(caller, action, tuple(dict.fromkeys(system_ids)), change)
        if change is not None:
            effects_of_all = await self._changes.effects(caller, action, machines, change)
            return MachineRemovalPlan(name=_name(machines), effects=effects_of_all)
        if action is BulkAction.REBUILD:
            rebuilds = await plans_or_reasons(
                machines, lambda one: self._deployments.rebuild_plan(caller, one.system_id, deploy)
            )
            rebuilt = tuple(sentences(action, machines, rebuilds, lambda _: True))
            return MachineRemovalPlan(name=_name(machines), effects=rebuilt)
        found: Sequence[_Plan]
        if action is BulkAction.DEPLOY:
            refused = await self._deployments.refusals(caller, machines, deploy)
            found = await self._within_quotas(caller, machines, [_stays(one, refused) for one in machines])
        elif action.power is not None:
            refused = await self._power_refusals(machines)
            found = [_stays(one, refused) for one in machines]
        else:
            found = await in_turn(machines, lambda one: self._plan_of(caller, action, one, release))
        plans = [one for one in found if isinstance(one, MachineRemovalPlan)]
        effects = [one for one in found if isinstance(one, str)]
        if action.power is not None or action is BulkAction.DEPLOY:
            number = len(machines) - len(effects)
            if action is BulkAction.DEPLOY and number:
                effects.append("What is on the root disks of the others is lost." if effects else _DISKS_LOST)
            effects.append(f"{number_of(number, 'machine')} {'is' if number == 1 else 'are'} {action.done}.")
        return MachineRemovalPlan(
            name=_name(machines),
            deleted=tuple(guest for plan in plans for guest in plan.deleted),
            kept=tuple(guest for plan in plans for guest in plan.kept),
            effects=(*dict.fromkeys(effect for plan in plans for effect in plan.effects), *effects),
        )

    async def _plan_of(
        self, caller: Caller, action: BulkAction, machine: MachineView, release: ReleaseOptions
    ) -> _Plan:
        """Returns the plan of a deletion or release, or the reason why the machine does not change."""
        try:
            if action is BulkAction.DELETE:
                return await self._machines.deletion_plan(caller, machine.system_id, asks_host=False)
            return await self._releases.plan(caller, machine.system_id, options=release, asks=False)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            return stays(machine, error.message)

    async def _power_refusals(self, machines: Sequence[MachineView]) -> Mapping[str, str]:
        """Returns by system id why a power action would refuse machines as they are now."""
        async with self._database.connection() as db:
            in_use = await operation_store.machines_in_use(db, [one.id for one in machines])
        refused: dict[str, str] = {}
        for machine in machines:
            try:
                check_unlocked(machine)
                check_idle(machine, in_use)
            except InnkeeperError as error:
                refused[machine.system_id] = error.message
        return refused

    async def _within_quotas(
        self, caller: Caller, machines: Sequence[MachineView], plans: Sequence[_Plan]
    ) -> list[_Plan]:
        """Adds the reasons of machines that a quota refuses: a deployment allocates those without an owner."""
        free = [
            machine
            for machine, plan in zip(machines, plans, strict=True)
            if plan is None and machine.owner is None and machine.composed_by != caller.username
        ]
        charges = [Charge(account_id=caller.account_id, asked=_holdings(machine)) for machine in free]
        async with self._database.connection() as db:
            reasons = await refusals_now(db, charges)
        refused = {machine.system_id: why for machine, why in zip(free, reasons, strict=True) if why}
        return [plan or _stays(machine, refused) for machine, plan in zip(machines, plans, strict=True)]

    async def _checked(
        self, caller: Caller, action: BulkAction, system_ids: Sequence[str], change: BulkChange | None
    ) -> Sequence[MachineView]:
        """Returns the machines in the order of the request."""
        if change is not None:
            await self._changes.check(caller, change)
        if not system_ids:
            raise InvalidRequest("Name at least one machine.")
        if len(system_ids) > MAX_BULK_MACHINES:
            raise InvalidRequest(f"One request is for at most {MAX_BULK_MACHINES} machines, not {len(system_ids)}.")
        async with self._database.connection() as db:
            found = await view_store.list_machines(db, MachineFilter(system_ids=tuple(system_ids)), caller=caller)
        by_id = {machine.system_id: machine for machine in found}
        unknown = [system_id for system_id in system_ids if system_id not in by_id]
        if unknown:
            raise InvalidRequest(f"Unknown machine(s): {', '.join(unknown)}.")
        machines = [by_id[system_id] for system_id in system_ids]
        _check_permission(caller, action, machines)
        return machines


def _named(machine: MachineView) -> BulkMachine:
    return BulkMachine(
        system_id=machine.system_id, hostname=machine.hostname, ran=machine.power_state == PowerState.ON
    )  # fmt: skip


def _stays(machine: MachineView, refused: Mapping[str, str]) -> str | None:
    """Returns the effect that gives the reason why the machine is `refused`, by system id; None if it is not."""
    reason = refused.get(machine.system_id)
    return None if reason is None else stays(machine, reason)


def _name(machines: Sequence[MachineView]) -> str:
    return machines[0].hostname if len(machines) == 1 else number_of(len(machines), "machine")


def _holdings(machine: MachineView) -> Holdings:
    return Holdings(
        machines=1,
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        storage_bytes=sum(disk.size_bytes for disk in machine.disks),
    )


def _check_permission(caller: Caller, action: BulkAction, machines: Sequence[MachineView]) -> None:
    """Raises NotAllowed with the names of all machines on which the caller may not act."""
    names: list[str] = []
    reasons: list[str] = []
    for machine in machines:
        try:
            check_object(action.permission, caller, machine)
            if action is BulkAction.RELEASE:
                check_may_release(caller, machine)
        except NotAllowed as error:
            names.append(machine.hostname)
            reasons.append(error.message)
    if names:
        raise NotAllowed(f"Not allowed on {', '.join(names)}. {' '.join(dict.fromkeys(reasons))}")
