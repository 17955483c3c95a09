"""What may be done with operations: look, wait, cancel. Other capabilities open them inside their own transactions."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from common.errors import InnkeeperError, OperationPending, WrongState, rebuild
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.operations import lease_store, store
from regiond.operations.model import LogLine, Operation, OperationState

_POLL_S = 5.0  # notifications are hints; this is what holds when one is lost


def outcome(operation: Operation) -> Operation:
    """The operation when it succeeded; raises what it failed with, naming the operation."""
    if operation.state is OperationState.SUCCEEDED:
        return operation
    raise error_of(operation)


def error_of(operation: Operation) -> InnkeeperError:
    details = {**(operation.error_details or {}), "operation": operation.id}
    return rebuild(operation.error_code or "error", operation.error_message or "It failed.", details)


class Operations:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._ended: dict[int, set[asyncio.Event]] = defaultdict(set)

    async def list(
        self,
        *,
        states: tuple[str, ...] = (),
        host_id: int | None = None,
        system_id: str | None = None,
        limit: int = 100,
        before_id: int | None = None,
    ) -> tuple[Operation, ...]:
        """Newest first."""
        async with self._database.connection() as db:
            return await store.list_operations(
                db, states=states, host_id=host_id, system_id=system_id, limit=limit, before_id=before_id
            )

    async def read(self, operation_id: int) -> Operation:
        async with self._database.connection() as db:
            return await store.read(db, operation_id)

    async def log(self, operation_id: int) -> tuple[LogLine, ...]:
        async with self._database.connection() as db:
            return await store.read_log(db, operation_id)

    async def wait(self, operation_id: int, *, timeout_s: float) -> Operation:
        """The operation once it has ended. Raises OperationPending when `timeout_s` is over; it goes on."""
        told = asyncio.Event()
        self._ended[operation_id].add(told)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    told.clear()
                    operation = await self.read(operation_id)
                    if operation.state.ended:
                        return operation
                    await _within(told.wait(), _POLL_S)
        except TimeoutError:
            raise OperationPending(
                f"Operation {operation_id} has not ended within {timeout_s:.0f} s; it goes on. "
                f"See operations/{operation_id}/.",
                operation=operation_id,
            ) from None
        finally:
            self._ended[operation_id].discard(told)
            if not self._ended[operation_id]:
                del self._ended[operation_id]

    async def cancel(self, caller: Caller, operation_id: int) -> Operation:
        """Ask for it; what was done is undone before the state says `cancelled`."""
        caller.require_admin()
        async with self._database.transaction() as db:
            operation = await store.read(db, operation_id)
            if not await store.ask_cancel(db, operation_id):
                raise WrongState(f"Operation {operation_id} is {operation.state} and cannot be cancelled.")
            await lease_store.log(
                db, operation_id, operation.attempt, operation.step, "cancel asked", {"by": caller.username}
            )
        return await self.read(operation_id)

    def told(self, operation_id: int, state: str) -> None:
        """A notification of the database: who waits for the operation looks again."""
        if OperationState(state).ended:
            for waiter in self._ended.get(operation_id, ()):
                waiter.set()

    def look_again(self) -> None:
        """Notifications may have been lost: everyone who waits looks again."""
        for waiters in self._ended.values():
            for waiter in waiters:
                waiter.set()

    async def once(
        self,
        caller: Caller,
        key: str | None,
        request: Mapping[str, Any],
        open_: Callable[[], Awaitable[Operation | int]],
    ) -> Operation:
        """Open an operation, or return the one opened before with the same idempotency key and request.

        `open_` commits the intent and returns the operation or its id; in the same transaction it ties the key to it
        with `store.keep_key`. Two callers with one key at once: one opens, the other gets that operation. Raises
        IdempotencyMismatch.
        """
        if key is None:
            return await self._made(await open_())
        known = await self._of_key(caller, key, request)
        if known is not None:
            return known
        try:
            return await self._made(await open_())
        except InnkeeperError:  # the other one took the name or the room that this one asked for too
            known = await self._of_key(caller, key, request)
            if known is None:
                raise
            return known

    async def _made(self, opened: Operation | int) -> Operation:
        return opened if isinstance(opened, Operation) else await self.read(opened)

    async def _of_key(self, caller: Caller, key: str, request: Mapping[str, Any]) -> Operation | None:
        async with self._database.connection() as db:
            known = await store.operation_of_key(db, caller.account_id, key, request_hash(request))
        return await self.read(known) if known is not None else None


def request_hash(request: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).digest()


async def _within(work: Awaitable[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        pass
