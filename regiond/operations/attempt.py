"""One attempt at one operation, from the lease to what is written at its end."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from attrs import evolve

from common.errors import Cancelled, DatabaseUnavailable, InnkeeperError, InternalError
from regiond.db.pool import Database
from regiond.operations import lease_store
from regiond.operations.model import Operation, OperationState, Turn, advance, retry_delay_s
from regiond.operations.work import LeaseLost, Outcome, Work

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Told = tuple[str, str, Mapping[str, Any]]
_CANCELLED: Told = ("cancelled", "The operation was cancelled.", {})


class Attempt:
    """Runs or undoes one operation that this process holds, and is its Journal."""

    def __init__(self, database: Database, owner: UUID, work: Work, operation: Operation) -> None:
        self._database = database
        self._owner = owner
        self._work = work
        self._held = operation
        self._step: str | None = operation.step

    async def go(self) -> None:
        """To the end of this attempt: ended, waiting, or LeaseLost. Database failures leave it to the lease."""
        if self._held.cancel_requested and self._held.state is not OperationState.UNDOING:
            await self._turn(Turn.CANCEL_ASKED, _CANCELLED)
        if self._held.state is OperationState.UNDOING:
            await self._undo()
        else:
            await self._run()

    async def _run(self) -> None:
        try:
            outcome = await self._work.run(self._held, self)
            if outcome.refused is None:
                await self._end(Turn.FINISHED, outcome)
                return
            told = _told(outcome.refused, self._held)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the operation ends with a reason
            told = _told(error, self._held)
            if _passes(error) and self._held.failures + 1 < self._held.max_failures:
                await self._wait(told)
                return
        await self._turn(Turn.REFUSED, told)
        await self._undo()

    async def _undo(self) -> None:
        try:
            outcome = await self._work.undo(self._held, self)
            if outcome.sent_on:
                await self._send_on(outcome)
                return
            cancelled = self._held.cancel_requested and self._held.error_code == _CANCELLED[0]
            await self._end(Turn.UNDONE_AFTER_CANCEL if cancelled else Turn.UNDONE, outcome)
        except (DatabaseUnavailable, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001  # undoing goes on until it has succeeded
            await self.note("undoing did not succeed yet", error=_told(error, self._held)[1])
            kept = (self._held.error_code or "", self._held.error_message or "", self._held.error_details or {})
            await self._wait(kept)

    async def step(self, name: str, *, reaches_host: bool = False, **facts: Any) -> None:
        async with self._database.transaction() as db:
            if not await lease_store.step(db, self._held, self._owner, name, reaches_host=reaches_host):
                raise LeaseLost
            await lease_store.log(db, self._held.id, self._held.attempt, name, "started", facts)
        self._step = name
        if reaches_host:
            self._held = evolve(self._held, reached_host=True)

    async def write(self, name: str, record: Callable[[Db], Awaitable[None]]) -> None:
        async def write(db: Db) -> None:
            if not await lease_store.step(db, self._held, self._owner, name, reaches_host=False):
                raise LeaseLost
            await record(db)
            await lease_store.log(db, self._held.id, self._held.attempt, name, "done", {})

        await self._database.in_transaction(write)
        self._step = name

    async def note(self, message: str, **facts: Any) -> None:
        async with self._database.transaction() as db:
            await lease_store.log(db, self._held.id, self._held.attempt, self._step, message, facts)

    async def _turn(self, turn: Turn, told: Told) -> None:
        state = advance(self._held.state, turn)
        async with self._database.transaction() as db:
            if not await lease_store.turn(db, self._held, self._owner, state, told):
                raise LeaseLost
            await lease_store.log(db, self._held.id, self._held.attempt, self._step, told[1], {"code": told[0]})
        self._held = evolve(self._held, state=state, error_code=told[0], error_message=told[1], error_details=told[2])

    async def _wait(self, told: Told) -> None:
        state = advance(self._held.state, Turn.UNREACHABLE)
        delay_s = retry_delay_s(self._held.failures, random.random())  # noqa: S311  # spreads retries, no secret
        async with self._database.transaction() as db:
            if not await lease_store.wait(db, self._held, self._owner, state, delay_s, told):
                raise LeaseLost
            facts = {"code": told[0], "again_in_s": round(delay_s, 1)}
            await lease_store.log(db, self._held.id, self._held.attempt, self._step, told[1], facts)
        log.info("operation_waits", operation=self._held.id, kind=self._held.kind.value, **facts)

    async def _send_on(self, outcome: Outcome) -> None:
        """In one transaction: from then on it is an operation that nobody has begun yet, and nothing is left of it."""
        state = advance(self._held.state, Turn.SENT_ON)

        async def write(db: Db) -> None:
            if not await lease_store.queue_again(db, self._held, self._owner, state):
                raise LeaseLost
            if outcome.record is not None:
                await outcome.record(db)
            facts = {"because": self._held.error_message, "undone": list(outcome.undone)}
            await lease_store.log(db, self._held.id, self._held.attempt, None, "goes on elsewhere", facts)

        await self._database.in_transaction(write)
        log.info("operation_sent_on", operation=self._held.id, kind=self._held.kind.value, code=self._held.error_code)

    async def _end(self, turn: Turn, outcome: Outcome) -> None:
        state = advance(self._held.state, turn)

        async def write(db: Db) -> None:
            told = None if outcome.error is None else _told(outcome.error, self._held)
            ended = await lease_store.end(
                db, self._held, self._owner, state, result=outcome.result, undone=outcome.undone, error=told
            )
            if not ended:
                raise LeaseLost
            if outcome.record is not None:
                await outcome.record(db)
            await lease_store.log(
                db, self._held.id, self._held.attempt, None, state.value, {"undone": list(outcome.undone)}
            )

        await self._database.in_transaction(write)  # a host that is removed meets all operations that end on it
        log.info(
            "operation_ended",
            operation=self._held.id,
            kind=self._held.kind.value,
            state=state.value,
            code=self._held.error_code if state is not OperationState.SUCCEEDED else None,
            attempt=self._held.attempt,
        )


def _passes(error: Exception) -> bool:
    """Whether a later try may go well. A call that the other end cancelled (a rack that stops) was not refused."""
    return isinstance(error, InnkeeperError) and (error.retryable or isinstance(error, Cancelled))


def _told(error: Exception, held: Operation) -> Told:
    """The error as it is stored and shown. A bug of ours is logged whole and told by its reference."""
    if isinstance(error, InnkeeperError):
        return error.code, _storable(error.message), _storable(error.details)
    reference = uuid4().hex[:12]
    log.exception("operation_hit_a_bug", operation=held.id, kind=held.kind.value, reference=reference)
    told = InternalError(
        f"Something went wrong inside Innkeeper; the region's log has it under {reference}.", reference=reference
    )
    return told.code, told.message, told.details


def _storable(value: Any) -> Any:
    """`value` without what no text of the database can hold: hypervisors quote whatever bytes they met."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(inner) for inner in value]
    return value
