"""What the engine asks of each kind of operation, and what it gives to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from common.errors import InnkeeperError
from common.rpc.commands import Fence
from regiond.operations.model import Operation, OperationKind

if TYPE_CHECKING:
    from regiond.db.pool import Db


@frozen(kw_only=True)
class Outcome:
    """What came of it. `record` runs inside the transaction that ends the operation, so both happen or neither.

    It may run again in a new transaction, when the first one lost a deadlock.

    Of `run`: `refused` is why it is undone at once, also when a later try might go well. Of `undo`: with `sent_on` the
    operation does not end but is queued anew, as `record` has redirected it; `error` is what it has failed with, in
    place of why undoing began.
    """

    result: Mapping[str, Any] = field(factory=dict)
    undone: tuple[str, ...] = ()
    record: Callable[[Db], Awaitable[None]] | None = None
    refused: InnkeeperError | None = None
    sent_on: bool = False
    error: InnkeeperError | None = None


class Journal(Protocol):
    """Where a step is written down before it acts. Raises LeaseLost when another process has taken over."""

    async def step(self, name: str, *, reaches_host: bool = False, **facts: Any) -> None:
        """From now on `name` is happening; with `reaches_host` the host may hear of it, so an undo must look there."""

    async def write(self, name: str, record: Callable[[Db], Awaitable[None]]) -> None:
        """A step of our own: `record` runs in the transaction that writes it down. It may run again, as in Outcome."""

    async def note(self, message: str, **facts: Any) -> None:
        """A line in the operation's log."""


class Work(Protocol):
    """One kind of operation. Both methods may be started again from their first line at any time, by any process."""

    @property
    def kind(self) -> OperationKind: ...

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        """Do it. A retryable error means try again later; any other InnkeeperError means undo and fail."""

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Leave nothing behind. Retryable errors mean try again later, without limit."""


class LeaseLost(Exception):
    """Another process holds the operation now; this one must stop and write nothing more."""


def fence_of(operation: Operation, machine_id: str) -> Fence:
    """Orders this attempt among all that ever acted on the machine (`machine_id` is its UUID)."""
    # Attempts count within an operation; operations on a machine follow each other, so (operation, attempt) orders all.
    return Fence(machine_id=machine_id, operation_id=operation.id, attempt=operation.attempt)
