"""Operation handler that opens an operation for each of many machines, a few at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import evolve

from common.errors import Busy, DatabaseUnavailable, DriverFailed, InnkeeperError, NotAllowed, WrongState
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.credentials.rewrap import BULK_USER_DATA
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.machines.arrivals.clones.service import Clones
from regiond.machines.bulk import store
from regiond.machines.bulk.changes import BulkChanges
from regiond.machines.bulk.progress import BulkMachine, BulkRequest, failure_of, progress, result_of
from regiond.machines.leaving.ownership.release_requests import Releases
from regiond.machines.running.deployment.service import Deployments
from regiond.machines.service import Machines
from regiond.machines.values.bulk import BulkAction
from regiond.machines.values.power import PowerRequest
from regiond.machines.values.requests import DeployRequest
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.handler import Journal, LeaseLost, Outcome
from regiond.operations.model import Child, ErrorRecord, Operation, Parent, stored_request
from regiond.requests.caller import Caller, check_object

CHILD_FALLBACK_S = 2.0  # for a child that ends before its parent has begun to wait

CurrentCaller = Callable[[int], Awaitable[Caller | None]]


class BulkSteps:
    """Opens the next children whenever one has ended. The failure of one does not stop the others."""

    kind = OperationKind.BULK

    def __init__(
        self,
        database: Database,
        machines: Machines,
        releases: Releases,
        deployments: Deployments,
        changes: BulkChanges,
        clones: Clones,
        seal: Credentials,
        *,
        current_caller: CurrentCaller,
    ) -> None:
        """`current_caller` returns an account by its id, with its present roles; None if it may do nothing any more."""
        self._database = database
        self._machines = machines
        self._releases = releases
        self._deployments = deployments
        self._changes = changes
        self._clones = clones
        self._seal = seal
        self._current_caller = current_caller

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        request = operation.request_as(BulkRequest)
        caller: Caller | None = None
        while True:
            children = await self._children(operation)
            now = progress(request, children)
            if not now.next:
                break
            caller = caller or await self._caller(operation)
            for machine in now.next:
                await self._begin(operation, request, machine, caller)
        if now.open:
            return Outcome(resumes_within_s=CHILD_FALLBACK_S)
        await self._forget_user_data(operation)
        failure = failure_of(request, children)
        rejection = None if failure is None else DriverFailed(failure)
        return Outcome(result=result_of(now), rejection=rejection)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Waits until children that have begun end; does not undo the changes of machines."""
        request = operation.request_as(BulkRequest)
        async with self._database.transaction() as db:
            await operation_store.cancel_children(db, operation.id)
        now = progress(request, await self._children(operation))
        if now.open:
            return Outcome(resumes_within_s=CHILD_FALLBACK_S)
        await self._forget_user_data(operation)
        left = now.not_begun + now.cancelled
        undone = (_left(request.action, left),) if left else ()
        return Outcome(result=result_of(now), undone=undone)

    async def _children(self, operation: Operation) -> Sequence[Child]:
        async with self._database.connection() as db:
            return await operation_store.children(db, operation.id)

    async def _caller(self, operation: Operation) -> Caller | None:
        return None if operation.account_id is None else await self._current_caller(operation.account_id)

    async def _begin(
        self, operation: Operation, request: BulkRequest, machine: BulkMachine, caller: Caller | None
    ) -> None:
        """Opens the child, or records the reason why none runs."""
        try:
            await self._open(operation, request, machine, caller)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            await self._record_rejected(operation, request, machine, error)

    async def _open(
        self, operation: Operation, request: BulkRequest, machine: BulkMachine, caller: Caller | None
    ) -> None:
        if caller is None:
            raise NotAllowed("The account that began this has been deleted or disabled.")
        found = await self._machines.read(machine.system_id, caller=caller)
        check_object(request.action.permission, caller, found)
        parent, power = Parent(id=operation.id, attempt=operation.attempt), request.action.power
        if power is not None:
            await self._machines.start_power(caller, found.system_id, power, parent=parent)
        elif request.action is BulkAction.DELETE:
            await self._machines.start_delete(caller, found.system_id, parent=parent)
        elif request.action.deploys:
            deploy = DeployRequest(
                distro_series=request.image, encoded_user_data=await self._user_data(operation),
                comment=request.comment, rebuild=request.action is BulkAction.REBUILD,
            )  # fmt: skip
            await self._deployments.start(caller, found.system_id, deploy, parent=parent)
        elif request.clone is not None:
            wanted = evolve(request.clone, hostname=machine.hostname)
            await self._clones.start(caller, found.system_id, wanted, parent=parent)
        elif request.action.changes_hardware:
            await self._changes.start(caller, found, request.change, parent)
        else:
            opened = await self._releases.start(
                caller, found.system_id, comment=request.comment, options=request.release, parent=parent
            )
            if opened is None:
                raise WrongState("It is not allocated.")
            if opened.parent_id != operation.id:
                raise Busy(f"Operation {opened.id} releases it already.")

    async def _user_data(self, operation: Operation) -> str:
        """Returns the user data as the API received it; empty without."""
        async with self._database.connection() as db:
            sealed = await store.read_user_data(db, operation.id)
        return "" if sealed is None else self._seal.unseal_data(operation.id, BULK_USER_DATA, sealed).decode()

    async def _forget_user_data(self, operation: Operation) -> None:
        async with self._database.transaction() as db:
            await store.delete_user_data(db, operation.id)

    async def _record_rejected(
        self, operation: Operation, request: BulkRequest, machine: BulkMachine, error: InnkeeperError
    ) -> None:
        async with self._database.transaction() as db:
            recorded = await intent_store.insert_failed_child(
                db, request.action.kind, Parent(id=operation.id, attempt=operation.attempt),
                account_id=operation.account_id, system_id=machine.system_id if request.clone is None else None,
                hostname=machine.hostname,
                request=stored_request(PowerRequest(action=request.action.power) if request.action.power else None),
                error=ErrorRecord(code=error.code, message=error.message),
            )  # fmt: skip
        if not recorded:
            raise LeaseLost


def _left(action: BulkAction, number: int) -> str:
    machines = number_of(number, "machine")
    if action is BulkAction.CLONE:
        return f"{machines} not composed"
    return f"{machines} left as {'it was' if number == 1 else 'they were'}"
