"""Runs or undoes one leased operation and writes the result."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from attrs import evolve

from common.errors import Busy, Cancelled, DatabaseUnavailable, InnkeeperError, InternalError
from regiond.db.pool import Database, Db
from regiond.operations import lease_store, store
from regiond.operations.handler import LeaseLost, OperationHandler, Outcome
from regiond.operations.model import (
    UNDO_WAITS_FOR,
    ErrorRecord,
    Operation,
    OperationEvent,
    OperationState,
    advance,
    retry_delay_s,
)
from regiond.operations.step_spans import StepSpans
from regiond.requests.identifiers import storable

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNDO_BUSY_S = 2.0  # longest time between checks of undoing that waits for another operation

_CANCELLED = ErrorRecord(code="cancelled", message="The operation was cancelled.")


OnEnded = Callable[[Operation], None]  # as it has ended


def ignore_end(_: Operation) -> None:
    """An OnEnded that does nothing."""


class Attempt:
    """One attempt at an operation that this process has leased; also the handler's Journal."""

    def __init__(
        self,
        database: Database,
        owner: UUID,
        handler: OperationHandler,
        operation: Operation,
        on_ended: OnEnded = ignore_end,
    ) -> None:
        self._database = database
        self._owner = owner
        self._handler = handler
        self._operation = operation
        self._on_ended = on_ended
        self._step: str | None = operation.step
        self._spans = StepSpans()

    async def run(self) -> bool:
        """Runs or undoes the operation. Returns whether it has ended; else a later attempt continues it.

        Raises LeaseLost, or DatabaseUnavailable: then the lease lapses and any process can continue.
        """
        if self._operation.cancel_requested and self._operation.state is not OperationState.UNDOING:
            await self._begin_undo(OperationEvent.CANCEL_REQUESTED, _CANCELLED)
        if self._operation.state is OperationState.UNDOING:
            return await self._undo()
        return await self._run_handler()

    async def _run_handler(self) -> bool:
        try:
            with self._spans.of_handler():
                outcome = await self._handler.run(self._operation, self)
            if outcome.resumes_within_s is not None:
                await self._suspend(outcome.resumes_within_s, outcome.resumes_at_once)
                return False
            if outcome.rejection is None:
                await self._end(OperationEvent.FINISHED, outcome)
                return True
            error = _error_record(outcome.rejection, self._operation)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as raised:  # noqa: BLE001  # whatever it is, the operation ends with a reason
            error = _error_record(raised, self._operation)
            if _is_retryable(raised) and self._operation.failures + 1 < self._operation.max_failures:
                await self._wait(error)
                return False
        await self._begin_undo(OperationEvent.REJECTED, error)
        return await self._undo()

    async def _undo(self) -> bool:
        try:
            with self._spans.of_handler():
                outcome = await self._handler.undo(self._operation, self)
            if outcome.resumes_within_s is not None:
                await self._suspend(outcome.resumes_within_s, outcome.resumes_at_once)
                return False
            if outcome.rescheduled:
                await self._reschedule(outcome)
                return False
            cancelled = self._operation.cancel_requested and self._operation.error_code == _CANCELLED.code
            await self._end(OperationEvent.UNDONE_AFTER_CANCEL if cancelled else OperationEvent.UNDONE, outcome)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as raised:  # noqa: BLE001  # undoing is retried until it succeeds
            waits = isinstance(raised, Busy)
            message = "undoing waits" if waits else "undoing failed, will retry"
            problem = _error_record(raised, self._operation).message
            first = self._operation
            details = {**(first.error_details or {}), UNDO_WAITS_FOR: problem}  # removed at the end
            await self._wait(
                ErrorRecord(code=first.error_code or "", message=first.error_message or "", details=details),
                at_most_s=UNDO_BUSY_S if waits else None,
                entry=(message, {"error": problem}),
            )
            return False
        return True

    async def step(self, name: str, *, reaches_host: bool = False, **facts: Any) -> None:
        self._spans.begin(name)
        async with self._database.connection() as db:
            if not await lease_store.begin_step(
                db, self._operation, self._owner, name, facts, reaches_host=reaches_host
            ):
                raise LeaseLost
        self._step = name
        if reaches_host:
            self._operation = evolve(self._operation, reached_host=True)

    async def host_not_reached(self) -> None:
        async with self._database.transaction() as db:
            reached_host = await lease_store.record_host_not_reached(db, self._operation, self._owner)
        if reached_host is None:
            raise LeaseLost
        self._operation = evolve(self._operation, reached_host=reached_host)

    async def write(self, name: str, record: Callable[[Db], Awaitable[None]]) -> None:
        self._spans.begin(name)

        async def write(db: Db) -> None:
            if not await lease_store.record_step(db, self._operation, self._owner, name, reaches_host=False):
                raise LeaseLost
            await record(db)
            await self._log(db, name, "done", {})

        await self._database.in_transaction(write)
        self._step = name

    async def step_began_at(self) -> datetime:
        async with self._database.connection() as db:
            return await store.step_began_at(db, self._operation.id, self._step)

    async def note(self, message: str, **facts: Any) -> None:
        async with self._database.transaction() as db:
            if not await lease_store.note(db, self._operation, self._owner, self._step, message, facts):
                raise LeaseLost

    async def _log(self, db: Db, step: str | None, message: str, facts: Mapping[str, Any]) -> None:
        await lease_store.append_log(db, self._operation.id, self._operation.attempt, step, message, facts)

    async def _begin_undo(self, event: OperationEvent, error: ErrorRecord) -> None:
        state = advance(self._operation.state, event)
        async with self._database.transaction() as db:
            if not await lease_store.set_state(db, self._operation, self._owner, state, error):
                raise LeaseLost
            await self._log(db, self._step, error.message, {"code": error.code})
        self._operation = evolve(
            self._operation,
            state=state,
            error_code=error.code,
            error_message=error.message,
            error_details=error.details,
        )

    async def _wait(
        self, error: ErrorRecord, *, at_most_s: float | None = None, entry: tuple[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Makes the operation wait for a retry, in one transaction with the log line: `entry`, or else the error."""
        operation = self._operation
        state = advance(operation.state, OperationEvent.UNREACHABLE)
        delay_s = retry_delay_s(operation.failures, random.random())  # noqa: S311  # spreads retries, no secret
        if at_most_s is not None:
            delay_s = min(delay_s, at_most_s)
        facts = {"code": error.code, "retry_in_s": round(delay_s, 1)}
        async with self._database.transaction() as db:
            if not await lease_store.wait(db, operation, self._owner, state, delay_s, error):
                raise LeaseLost
            await self._log(db, self._step, *(entry or (error.message, facts)))
        self._spans.end("waiting", error.code)
        log.info("operation_waiting", operation=operation.id, kind=operation.kind.value, **facts)

    async def _suspend(self, at_most_s: float, is_due: Callable[[Db], Awaitable[bool]] | None = None) -> None:
        """Suspends the operation. Counts no failure and logs nothing: the reason is recorded elsewhere.

        `is_due` runs after the suspension, in the same transaction: it sees all events that came too early to wake it.
        """
        advance(self._operation.state, OperationEvent.SUSPENDED)
        async with self._database.transaction() as db:
            if not await lease_store.suspend(db, self._operation, self._owner, at_most_s):
                raise LeaseLost
            if is_due is not None and await is_due(db):
                await lease_store.wake(db, self._operation.id)
        self._spans.end("suspended", None)

    async def _reschedule(self, outcome: Outcome) -> None:
        """Queues the operation again, without its progress, in one transaction with `outcome.record`."""
        operation = self._operation
        state = advance(operation.state, OperationEvent.RESCHEDULED)

        async def write(db: Db) -> None:
            if not await lease_store.requeue(db, operation, self._owner, state):
                raise LeaseLost
            if outcome.record is not None:
                await outcome.record(db)
            facts = {"reason": operation.error_message, "undone": list(outcome.undone)}
            await self._log(db, None, "rescheduled", facts)

        await self._database.in_transaction(write)
        self._spans.end("rescheduled", operation.error_code)
        log.info("operation_rescheduled", operation=operation.id, kind=operation.kind.value, code=operation.error_code)

    async def _end(self, event: OperationEvent, outcome: Outcome) -> None:
        operation = self._operation
        state = advance(operation.state, event)

        async def write(db: Db) -> Operation:
            error = None if outcome.error is None else _error_record(outcome.error, operation)
            ended = await lease_store.finish(
                db, operation, self._owner, state, result=outcome.result, undone=outcome.undone, error=error
            )
            if ended is None:
                raise LeaseLost
            if outcome.record is not None:
                await outcome.record(db)
            if operation.parent_id is not None:
                await lease_store.wake_parent(db, operation.parent_id)
            return ended

        # Removing a host can deadlock with operations that end on it.
        self._on_ended(await self._database.in_transaction(write))
        code = operation.error_code if state is not OperationState.SUCCEEDED else None
        self._spans.end(state.value, code)
        log.info(
            "operation_ended",
            operation=operation.id,
            kind=operation.kind.value,
            state=state.value,
            code=code,
            attempt=operation.attempt,
        )
        if outcome.then is not None:
            await self._follow_up(outcome.then)

    async def _follow_up(self, then: Callable[[], Awaitable[None]]) -> None:
        try:
            await then()
        except Exception as error:  # noqa: BLE001  # the operation has ended, and its caller would undo it
            log.warning("operation_follow_up_failed", operation=self._operation.id, error=repr(error))


def _is_retryable(error: Exception) -> bool:
    """Returns whether the error is retryable. So is a cancelled call: the peer, such as a rack, is shutting down."""
    return isinstance(error, InnkeeperError) and (error.retryable or isinstance(error, Cancelled))


def _error_record(error: Exception, operation: Operation) -> ErrorRecord:
    """Returns the error as users see it. A bug is logged with its traceback; users see only a reference to the log."""
    if isinstance(error, InnkeeperError):
        return ErrorRecord(code=error.code, message=_storable(error.message), details=_storable(error.details))
    reference = uuid4().hex[:12]
    log.exception("operation_failed", operation=operation.id, kind=operation.kind.value, reference=reference)
    internal = InternalError(
        f"Internal error. The region's log has the details under the reference {reference}.", reference=reference
    )
    return ErrorRecord(code=internal.code, message=internal.message, details=internal.details)


def _storable(value: Any) -> Any:
    """Returns the value without NUL and lone surrogates: hypervisors quote them, and PostgreSQL cannot store them."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(inner) for inner in value]
    return value
