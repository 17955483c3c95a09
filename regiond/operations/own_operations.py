"""The operations that this process runs: it begins those that it opens, and knows their guests."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar
from uuid import UUID

from regiond.db.pool import Database
from regiond.operations import lease_store, store
from regiond.operations.model import Operation, OperationState

T = TypeVar("T")


class Runner(Protocol):
    """The engine of this process."""

    @property
    def owner(self) -> UUID: ...

    def places(self, host_ids: Sequence[int]) -> Sequence[bool]:
        """Returns for each of new operations on these hosts whether it could begin now."""

    def full_hosts(self) -> Sequence[int] | None:
        """Returns the hosts on which no new operation could begin now; None: it could on none."""

    def begin(self, operation: Operation) -> None:
        """Runs an operation that is leased to `owner`."""

    def runs(self, operation_id: int) -> bool:
        """Returns whether the operation runs here; its end is told to the `on_ended` of this process."""

    def acts_on(self, host_id: int, guest_name: str) -> bool:
        """Returns whether an operation that runs here, or ended here seconds ago, is on the guest."""

    def opening(self) -> AbstractContextManager[None]:
        """In the block, operations are inserted with leases of `owner` and begun. An error may leave some leased."""

    def expecting(self) -> AbstractContextManager[None]:
        """In the block, operations are inserted, then taken: what is new is not searched for at once."""


class OwnOperations:
    """The operations of the engine that serves it; none without one. Leases of a process that dies lapse."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    def serve(self, runner: Runner | None) -> None:
        self._runner = runner

    def lease(self, host_ids: Sequence[int]) -> tuple[UUID | None, Sequence[bool]]:
        """Returns the owner of leases, and which of new operations on these hosts may be inserted with one."""
        if self._runner is None:
            return None, [False] * len(host_ids)
        return self._runner.owner, self._runner.places(host_ids)

    def runs(self, operation_id: int) -> bool:
        return self._runner is not None and self._runner.runs(operation_id)

    def act_on(self, host_id: int, guest_name: str) -> bool:
        return self._runner is not None and self._runner.acts_on(host_id, guest_name)

    def expecting(self) -> AbstractContextManager[None]:
        return nullcontext() if self._runner is None else self._runner.expecting()

    async def take(self, database: Database, operation_id: int) -> Operation:
        """Returns an operation that was committed a moment before, and begins it if it has a place here."""
        full_hosts = None if self._runner is None else self._runner.full_hosts()
        if self._runner is None or full_hosts is None:
            async with database.connection() as db:
                return await store.read(db, operation_id)
        with self._runner.opening():
            async with database.connection() as db:
                owner = self._runner.owner
                operation, is_leased = await lease_store.take(db, operation_id, owner, full_hosts=full_hosts)
            if is_leased:
                self._runner.begin(operation)
        return operation

    async def begun(self, opening: Awaitable[Sequence[T]]) -> Sequence[T]:
        """Returns what a transaction returns, and begins those operations in it that are leased: running ones."""
        if self._runner is None:
            return await opening
        with self._runner.opening():
            opened = await opening
            for one in opened:
                if isinstance(one, Operation) and one.state is OperationState.RUNNING:
                    self._runner.begin(one)
        return opened


NO_OWN_OPERATIONS = OwnOperations()
