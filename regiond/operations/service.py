"""Public functions on operations: open, list, wait, cancel, and idempotent requests.

Functions that take `db` join the caller's transaction.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from common.errors import InnkeeperError, InvalidRequest, OperationPending, WrongState, rebuild
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db, reading
from regiond.operations import store
from regiond.operations.abandonment import Settle, abandon, settle_nothing
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.idempotency.service import find_operation
from regiond.operations.lease_store import append_log
from regiond.operations.model import Operation, OperationState, cancel_plan
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations
from regiond.operations.store import (
    list_operations,
    request_cancel,
)
from regiond.operations.wait_reason import purpose_of, wait_reason
from regiond.operations.wait_store import wait_facts
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan

_FIRST_POLL_S, _POLL_S = 1.0, 5.0  # the fallback if a notification was lost
_KEEP_SUBJECT = (OperationKind.COMPOSE, OperationKind.POWER)
REMEMBERED = 256  # operations that have just ended: a request waits for one that it opened milliseconds before


def outcome(operation: Operation) -> Operation:
    """Returns the operation if it succeeded. Otherwise raises its error, with its id under `operation`."""
    if operation.state is OperationState.SUCCEEDED:
        return operation
    raise error_of(operation)


def error_of(operation: Operation) -> InnkeeperError:
    """Returns the error of a failed operation, with its id under `operation`."""
    details = {**(operation.error_details or {}), "operation": operation.id}
    return rebuild(operation.error_code or "error", operation.error_message or "The operation failed.", details)


class Operations:
    """Reads, waits for and cancels operations; handlers run in the engine of any region process."""

    def __init__(
        self,
        database: Database,
        *,
        settle_abandoned: Settle = settle_nothing,
        own_operations: OwnOperations = NO_OWN_OPERATIONS,
    ) -> None:
        """`settle_abandoned` settles what an abandoned operation left in other rooms."""
        self._database = database
        self._own_operations = own_operations
        self._settle_abandoned = settle_abandoned
        self._waiters: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._ended: dict[int, Operation | None] = {}  # with the operation if this process ended it

    list = reading(list_operations)
    count = reading(store.count_operations)
    count_open = reading(store.count_open)
    latest = reading(store.read_latest)
    visible_ids = reading(store.visible_ids)
    children = reading(store.children)
    read = reading(store.read)
    log = reading(store.read_log)

    async def wait_reason(self, operation: Operation, *, caller: Caller | None = None) -> str | None:
        """Returns the reason why the operation has not ended, as a sentence; None if it has or nothing delays it.

        A caller does not read of operations that it may not see.
        """
        if operation.state.ended:
            return None
        async with self._database.connection() as db:
            return wait_reason(operation, await wait_facts(db, operation, caller=caller))

    async def wait(
        self, operation_id: int, *, timeout_s: float, caller: Caller | None = None, is_new: bool = False
    ) -> Operation:
        """Returns the operation once it has ended, as `caller`, who waits, may see it.

        `is_new`: this process has just opened it, and asks again when it is told that something has changed. Raises
        OperationPending after `timeout_s`, with the known reason; the operation continues then.
        """
        changed = asyncio.Event()
        self._waiters[operation_id].add(changed)
        try:
            async with asyncio.timeout(timeout_s):
                if is_new and operation_id not in self._ended:
                    await _wait_at_most(changed.wait(), _FIRST_POLL_S)
                while True:
                    changed.clear()
                    operation = self._ended.get(operation_id) or await self.read(operation_id)
                    if operation.state.ended:
                        return store.as_shown_to(caller, operation)
                    await _wait_at_most(changed.wait(), _POLL_S)
        except TimeoutError:
            raise await self._pending(operation_id, timeout_s, caller) from None
        finally:
            self._waiters[operation_id].discard(changed)
            if not self._waiters[operation_id]:
                del self._waiters[operation_id]

    async def _pending(self, operation_id: int, waited_s: float, caller: Caller | None) -> OperationPending:
        operation = await self.read(operation_id)
        reason = await self.wait_reason(operation, caller=caller)
        return OperationPending(
            f"Operation {operation_id}, which {purpose_of(operation)}, has not ended within {waited_s:.0f} s; it "
            f"continues ({operation.state}{f', {operation.step}' if operation.step else ''}). "
            f"{f'{reason} ' if reason else ''}See operations/{operation_id}/.",
            operation=operation_id,
        )

    @property
    def awaited(self) -> tuple[int, ...]:
        """Returns the ids of the operations for whose end this process waits."""
        return tuple(self._waiters)

    async def cancel(self, caller: Caller, operation_id: int) -> Operation:
        """Requests cancellation; the operation is undone before its state becomes `cancelled`.

        Operations that it opened are cancelled too if no region runs them; undoing waits for the others.

        Only for administrators; a bulk operation also for the account that began it. Raises NotFound; WrongState if it
        has ended or is being undone.
        """
        async with self._database.transaction() as db:
            await _check_may_cancel(db, caller, operation_id)
            operation = await _request_cancel(db, operation_id)
            await append_log(
                db, operation_id, operation.attempt, operation.step, "cancel requested", {"by": caller.username}
            )
        return await self.read(operation_id)

    async def cancel_plan(self, caller: Caller, operation_id: int) -> DeletionPlan:
        """Returns the plan of `cancel`, as a dry run; raises the same errors."""
        async with self._database.transaction(dry_run=True) as db:
            await _check_may_cancel(db, caller, operation_id)
            return cancel_plan(await _request_cancel(db, operation_id))

    async def abandon(self, caller: Caller, operation_id: int, comment: str) -> Operation:
        """Ends an operation whose undoing does not end; returns it. Nothing more is undone, and its machine is free.

        Only for administrators. Raises InvalidRequest without a comment that says why, NotFound, and WrongState unless
        it is being undone and that has failed before.
        """
        if not comment:
            raise InvalidRequest.of({"comment": ["Say why: it is recorded with the operation."]})
        async with self._database.transaction() as db:
            await abandon(db, caller, operation_id, comment, self._settle_abandoned)
        return await self.read(operation_id)

    async def abandon_plan(self, caller: Caller, operation_id: int) -> DeletionPlan:
        """Returns the plan of `abandon`, as a dry run; raises the same errors."""
        async with self._database.transaction(dry_run=True) as db:
            return await abandon(db, caller, operation_id, "", self._settle_abandoned)

    def on_state_changed(self, operation_id: int, state: str) -> None:
        """Handles a database notification: wakes the waiters for the end of an operation that another process runs."""
        if OperationState(state).ended and not self._own_operations.runs(operation_id):
            self._note_end(operation_id, self._ended.get(operation_id))

    def on_ended(self, operation: Operation) -> None:
        """Gives an operation that this process has just ended to those who wait for it, or soon will.

        The row of another kind can differ: with a machine or a host that is removed, its reference to it ends.
        """
        is_as_stored = operation.kind in _KEEP_SUBJECT and operation.state is OperationState.SUCCEEDED
        self._note_end(operation.id, operation if is_as_stored else None)

    def _note_end(self, operation_id: int, operation: Operation | None) -> None:
        self._ended[operation_id] = operation
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        for waiter in self._waiters.get(operation_id, ()):
            waiter.set()

    def recheck(self) -> None:
        """Makes every waiter query its operation again, since notifications may have been lost."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.set()

    async def idempotent(
        self,
        key: IdempotencyKey | None,
        open_operation: Callable[[], Awaitable[Operation | int]],
    ) -> Operation:
        """Opens an operation, or returns the one that an equal request with the key opened before.

        `open_operation` commits the intent and returns the operation or its id; in the same transaction it calls
        `tie_key`. Of two concurrent requests with one key, one opens the operation and both receive it; the key of the
        other is then joined to it. Raises IdempotencyMismatch if the key was used for another request.
        """
        if key is None:
            return await self._begun(open_operation)
        existing = await self._of_key(key)
        if existing is not None:
            return existing
        try:
            return await self._begun(open_operation)
        except InnkeeperError:  # a concurrent request with the key may have taken the name or the capacity
            existing = await self._of_key(key)
            if existing is None:
                raise
            return existing

    async def _begun(self, open_operation: Callable[[], Awaitable[Operation | int]]) -> Operation:
        """Begins what is opened, if it has a place in this process: nobody has to search for it."""
        with self._own_operations.expecting():
            opened = await open_operation()
            return opened if isinstance(opened, Operation) else await self._own_operations.take(self._database, opened)

    async def _of_key(self, key: IdempotencyKey) -> Operation | None:
        if key.operation_id is None:
            async with self._database.connection() as db:
                key.operation_id = await find_operation(db, key)
        return await self.read(key.operation_id) if key.operation_id is not None else None


async def _check_may_cancel(db: Db, caller: Caller, operation_id: int) -> None:
    """Raises NotFound for an operation that the caller may not see, NotAllowed for one of another account."""
    operation = await store.read(db, operation_id, caller=caller)
    if operation.kind is not OperationKind.BULK or operation.account_id != caller.account_id:
        caller.require_admin()


async def _request_cancel(db: Db, operation_id: int) -> Operation:
    """Returns the operation as it was before. Raises NotFound, WrongState."""
    operation = await store.read(db, operation_id)
    if not await request_cancel(db, operation_id):
        raise WrongState(f"Operation {operation_id} is {operation.state} and cannot be cancelled.")
    return operation


async def _wait_at_most(work: Awaitable[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
