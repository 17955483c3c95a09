"""The contract between the engine and the handler of each operation kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from attrs import field, frozen

from common.errors import InnkeeperError
from common.rpc.commands.host_commands import Fence
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.operations.model import Operation


@frozen(kw_only=True)
class Outcome:
    """The result of `run` or `undo`.

    `record` runs in the transaction that ends the operation. It can run again in a new transaction, if the first one
    lost a deadlock. `then` runs after that transaction, unless the process ends before: what it does may be left out.

    Only from `run`: with `rejection` the operation is undone at once, even if the error is retryable. Only from `undo`:
    with `rescheduled` the operation does not end but is queued again, for the host that `record` has set; `error`
    replaces the error that started undoing.

    From either: with `resumes_within_s` the operation does not end; the method is called again, in a new attempt, when
    one of its children has ended (for a kind in WOKEN_BY_LAST_CHILD: the last of them), when it is woken, or at the
    latest after this time. `resumes_at_once` returns whether the awaited event has happened since the method checked: a
    wake before the suspension has no effect.
    """

    result: Mapping[str, Any] = field(factory=dict)
    undone: tuple[str, ...] = ()
    record: Callable[[Db], Awaitable[None]] | None = None
    then: Callable[[], Awaitable[None]] | None = None
    rejection: InnkeeperError | None = None
    rescheduled: bool = False
    resumes_within_s: float | None = None
    resumes_at_once: Callable[[Db], Awaitable[bool]] | None = None
    error: InnkeeperError | None = None


class Journal(Protocol):
    """The record of an operation's steps, written before they act. Methods raise LeaseLost after a takeover."""

    async def step(self, name: str, *, reaches_host: bool = False, **facts: Any) -> None:
        """Records that the step begins. With `reaches_host` it may send a command, so undoing checks the host."""

    async def host_not_reached(self) -> None:
        """Reverts `reaches_host` of the last step: its command certainly changed nothing on the host."""

    async def write(self, name: str, record: Callable[[Db], Awaitable[None]]) -> None:
        """Records a step that only changes the database: `record` runs in the same transaction, possibly again."""

    async def step_began_at(self) -> datetime:
        """Returns the time, on the database's clock, when the current step began, maybe in an earlier attempt."""

    async def note(self, message: str, **facts: Any) -> None:
        """Adds a line to the operation's log."""


class OperationHandler(Protocol):
    """The handler of one kind of operation. Any process can start either method again at any time."""

    @property
    def kind(self) -> OperationKind: ...

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        """Does the work. After a retryable error it runs again later; after any other InnkeeperError, `undo` runs."""

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Removes everything that `run` may have created. Retried without limit until it succeeds."""


class LeaseLost(Exception):
    """Another process runs the operation now; this process stops and writes nothing."""


def fence_of(operation: Operation, machine_id: str) -> Fence:
    """Returns the fencing token of this attempt on the machine with the UUID `machine_id`.

    Attempt numbers increase within an operation, and operations on a machine follow each other, so (operation, attempt)
    orders all attempts on a machine.
    """
    return Fence(machine_id=machine_id, operation_id=operation.id, attempt=operation.attempt)
