"""Operations whose handler a test scripts, and engines that run them on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from attrs import define, field

from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database
from regiond.operations import intent_store, lease_store, store
from regiond.operations.engine import Engine
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import LogLine, Operation
from tests.postgresql.database import execute
from tests.support.waiting import eventually

Step = Callable[[Operation, Journal], Awaitable[Outcome]]


def in_turn(*results: Outcome | Exception) -> Step:
    """A step that returns or raises each of the results once, and the last one from then on."""
    left = list(results)

    async def step(_: Operation, journal: Journal) -> Outcome:
        await journal.step("try")
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Exception):
            raise result
        return result

    return step


def failing(*errors: Exception) -> ScriptedHandler:
    """A handler that raises each error once, then succeeds."""
    return ScriptedHandler(on_run=in_turn(*errors, Outcome(result={"done": True})))


async def nothing(_: Operation, __: Journal) -> Outcome:
    return Outcome()


@define(eq=False)
class ScriptedHandler:
    """An OperationHandler whose `run` and `undo` the test provides; it records the attempt number of every call."""

    on_run: Step = nothing
    on_undo: Step = nothing
    kind: OperationKind = OperationKind.CLEAN_UP
    ran: list[int] = field(factory=list)
    undone: list[int] = field(factory=list)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        self.ran.append(operation.attempt)
        return await self.on_run(operation, journal)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        self.undone.append(operation.attempt)
        return await self.on_undo(operation, journal)


@define(eq=False)
class PausedStep:
    """A step that sets `started`, then waits until the test sets `proceed`."""

    started: asyncio.Event = field(factory=asyncio.Event)
    proceed: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, _: Operation, journal: Journal) -> Outcome:
        await journal.step("pause")
        self.started.set()
        await self.proceed.wait()
        return Outcome(result={"by": "the paused attempt"})


async def open_operation(database: Database, *, host_id: int | None = None, max_failures: int = 1) -> int:
    """Returns the id of a queued operation without machine."""
    async with database.transaction() as db:
        return await intent_store.insert(
            db, OperationKind.CLEAN_UP, host_id=host_id, host_name=None, request={}, max_failures=max_failures
        )


async def read(database: Database, operation_id: int) -> Operation:
    async with database.connection() as db:
        return await store.read(db, operation_id)


async def read_log(database: Database, operation_id: int) -> tuple[LogLine, ...]:
    async with database.connection() as db:
        return await store.read_log(db, operation_id)


async def acquire(database: Database, owner: UUID | None = None) -> list[Operation]:
    """Returns up to 10 due operations, leased to `owner` or to an unknown region."""
    async with database.connection() as db:
        return [*(await lease_store.acquire(db, owner or uuid4(), limit=10, full_hosts=())).operations]


async def lapse_lease(database: Database, operation_id: int) -> None:
    """Ends the lease, as if its owner had been frozen for that long."""
    await execute(
        database, "update operation set lease_until = now() - interval '1 second' where id = $1", operation_id
    )


@asynccontextmanager
async def running(database: Database, handler: ScriptedHandler, *, owner: UUID | None = None) -> AsyncIterator[Engine]:
    engine = Engine(database, owner or uuid4(), [handler])
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def wait_until_ended(database: Database, engine: Engine, operation_id: int) -> Operation:
    """Returns the operation once it has ended. Skips the delays between its attempts."""

    async def ended() -> Operation | None:
        found = await read(database, operation_id)
        if found.state.ended:
            return found
        if engine.running == 0:
            await execute(database, "update operation set not_before = now() where id = $1", operation_id)
            engine.wake()
        return None

    operation: Operation = await eventually(ended)
    return operation


async def run_to_end(
    database: Database, handler: ScriptedHandler, operation_id: int | None = None, *, max_failures: int = 1
) -> Operation:
    """Runs the operation, or a new one, in an engine of its own; returns it once it has ended."""
    opened = await open_operation(database, max_failures=max_failures) if operation_id is None else operation_id
    async with running(database, handler) as engine:
        return await wait_until_ended(database, engine, opened)
