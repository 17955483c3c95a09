"""A kind of change of hardware as one class: what it decides, does, records and undoes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from attrs import AttrsInstance, frozen

from common.errors import InnkeeperError
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HostCall
from common.values import Guest
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.exports.writing import ExportFiles
from regiond.images.service import Images
from regiond.machines.core.operation_intents import check_owner_is, open_operation
from regiond.machines.core.steps import Target, find_guest, record_event, wait_for_command
from regiond.machines.hardware.requests import HardwareRequests
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller

A = TypeVar("A")  # what a caller asks
R = TypeVar("R", bound=AttrsInstance)  # what the operation's row stores
P = TypeVar("P")  # what a dry run answers
Q = TypeVar("Q", bound=HostCall)
Reply = TypeVar("Reply")
T = TypeVar("T")


@frozen(kw_only=True)
class HardwareTools:
    """The parts of the region that the kinds of changes use."""

    requests: HardwareRequests
    installation_id: UUID
    images: Images
    export_files: ExportFiles


async def _nothing(_: Db, __: int) -> None:
    """Claims nothing."""


@frozen(kw_only=True)
class Decision(Generic[R, P]):
    """A change that is possible. `claim` runs once its operation is open, whose id it gets: it claims at once what the
    machine needs more, and raises Busy if what was decided on has changed meanwhile.
    """

    machine: MachineView
    request: R
    plan: P
    claim: Callable[[Db, int], Awaitable[None]] = _nothing


@frozen(kw_only=True)
class Attempt(Generic[R]):
    """One attempt of the operation: its stored request, the guest, and the way to its host."""

    request: R
    operation: Operation
    target: Target
    journal: Journal
    calls: HostCalls

    @property
    def reached_host(self) -> bool:
        return self.operation.reached_host

    async def call(self, command: Command[Q, Reply], *, deadline_s: float | None = None, **fields: Any) -> Reply:
        """Returns the host's answer to a call about the guest, with the fencing token of the attempt."""
        return await self.call_host(command, deadline_s=deadline_s, guest=self.target.spec.ref, **fields)

    async def call_host(self, command: Command[Q, Reply], *, deadline_s: float | None = None, **fields: Any) -> Reply:
        """As `call`, of a call that does not name the guest."""
        fence = fence_of(self.operation, str(self.target.spec.marker.machine_id))
        request: Callable[..., Q] = command.request
        return await self.calls.call(
            self.target.host_id,
            command,
            lambda access: request(access=access, fence=fence, **fields),
            deadline_s=deadline_s,
        )

    async def step(self, name: str, *, reaches_host: bool = True, **fields: Any) -> None:
        """Begins a step, by default one that changes the host."""
        await self.journal.step(name, reaches_host=reaches_host, **fields)

    async def find_guest(self) -> Guest | None:
        return await find_guest(self.calls, self.target)

    async def if_possible(self, restored: Awaitable[T]) -> T | None:
        """Returns what the host answers; None if it refuses for good."""
        try:
            return await restored
        except InnkeeperError as error:
            if error.retryable:
                raise
            return None

    async def event(self, db: Db, kind: str, message: str, *, level: Level = Level.INFO) -> None:
        await record_event(db, self.operation, kind, message, level=level)

    @property
    def where(self) -> str:
        """Such as `web on hv`."""
        return f"{self.operation.hostname} on {self.operation.host_name}"

    def ended(
        self,
        record: Callable[[Db], Awaitable[None]],
        *,
        event: str,
        message: str,
        result: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Returns the outcome of a change that was made: `record` writes what the host has now, with an event."""

        async def all_of_it(db: Db) -> None:
            await record(db)
            await self.event(db, event, message)

        return Outcome(result={} if result is None else result, record=all_of_it)


class ChangeHandler(ABC, Generic[R]):
    """The handler of the operation of a kind of change.

    `Request` is an attrs class, and the JSON of the operation's row: operations in flight keep its keys over releases.
    With `undoes_on_host`, undoing waits until no earlier command runs there.
    """

    kind: ClassVar[OperationKind]
    Request: ClassVar[type[Any]]
    undoes_on_host: ClassVar[bool] = True

    def __init__(self, tools: HardwareTools) -> None:
        self.tools = tools

    @property
    def installation_id(self) -> UUID:
        return self.tools.installation_id

    @abstractmethod
    async def act(self, at: Attempt[R]) -> Outcome:
        """Makes the change. Every step is idempotent: it can run again after a crash at any line."""

    @abstractmethod
    async def restore(self, at: Attempt[R]) -> Outcome:
        """Undoes what was claimed, and the change if it has reached the host."""

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        return await self.act(self._attempt(operation, journal))

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        at = self._attempt(operation, journal)
        if self.undoes_on_host:
            await wait_for_command(at.calls, operation, at.target, journal)
        return await self.restore(at)

    def _attempt(self, operation: Operation, journal: Journal) -> Attempt[R]:
        return Attempt(
            request=operation.request_as(self.Request), operation=operation, target=Target.of(operation),
            journal=journal, calls=self.tools.requests.calls,
        )  # fmt: skip


class HardwareChange(ChangeHandler[R], Generic[A, R, P]):
    """A kind of change that callers ask for: the service that opens it, and the handler of its operation.

    `asked` are the types of values that ask for a change of this kind.
    """

    asked: ClassVar[tuple[type[Any], ...]]

    @abstractmethod
    async def decide(self, db: Db, caller: Caller, system_id: str, asked: A) -> Decision[R, P]:
        """Returns the change that is asked for. Raises why it is not possible. Changes nothing but quotas' locks."""

    async def start(
        self,
        caller: Caller,
        system_id: str,
        asked: A,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation. Raises the errors of `decide` and its `claim`, NotFound, NotAllowed, Busy while
        another operation acts on the machine, and RackUnreachable with `need_rack`.
        """

        async def open_(db: Db) -> tuple[int, P]:
            return await self.open(db, caller, await self.decide(db, caller, system_id, asked), parent)

        return await self.tools.requests.start(
            caller, system_id, open_, idempotency_key=idempotency_key, need_rack=need_rack
        )

    async def plan(self, caller: Caller, system_id: str, asked: A) -> P:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""

        async def open_(db: Db) -> tuple[int, P]:
            return await self.open(db, caller, await self.decide(db, caller, system_id, asked))

        return await self.tools.requests.plan(open_)

    async def open(
        self, db: Db, caller: Caller, decision: Decision[R, P], parent: Parent | None = None
    ) -> tuple[int, P]:
        """Locks in the order of all writers: quotas before, the operation, the server, the machine."""
        machine = decision.machine
        operation_id = await open_operation(
            db, self.kind, machine, self.installation_id, account_id=caller.account_id, parent=parent,
            request=decision.request,
        )  # fmt: skip
        await check_owner_is(db, machine)
        await decision.claim(db, operation_id)
        return operation_id, decision.plan
