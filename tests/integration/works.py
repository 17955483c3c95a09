"""Operations whose steps a test decides, and engines that run them on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from attrs import define, field

from regiond.db.pool import Database
from regiond.operations import store
from regiond.operations.engine import Engine
from regiond.operations.model import LogLine, Operation, OperationKind
from regiond.operations.work import Journal, Outcome
from tests.waiting import eventually

Step = Callable[[Operation, Journal], Awaitable[Outcome]]


async def nothing(_: Operation, __: Journal) -> Outcome:
    return Outcome()


@define(eq=False)
class Scripted:
    """A Work: `run` and `undo` are the test's; every call of either is remembered."""

    on_run: Step = nothing
    on_undo: Step = nothing
    kind: OperationKind = OperationKind.CLEAN_UP
    ran: list[int] = field(factory=list)  # attempts
    undone: list[int] = field(factory=list)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        self.ran.append(operation.attempt)
        return await self.on_run(operation, journal)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        self.undone.append(operation.attempt)
        return await self.on_undo(operation, journal)


@define(eq=False)
class Paused:
    """A step that says when it has begun and goes on when the test lets it."""

    begun: asyncio.Event = field(factory=asyncio.Event)
    go_on: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, _: Operation, journal: Journal) -> Outcome:
        await journal.step("pause")
        self.begun.set()
        await self.go_on.wait()
        return Outcome(result={"by": "the one that was paused"})


async def opened(database: Database, *, max_failures: int = 1) -> int:
    """The id of a queued operation that touches nothing."""
    async with database.transaction() as db:
        return await store.insert(
            db, OperationKind.CLEAN_UP, host_id=None, host_name=None, request={}, max_failures=max_failures
        )


async def read(database: Database, operation_id: int) -> Operation:
    async with database.connection() as db:
        return await store.read(db, operation_id)


async def read_log(database: Database, operation_id: int) -> tuple[LogLine, ...]:
    async with database.connection() as db:
        return await store.read_log(db, operation_id)


async def hurry(database: Database, operation_id: int) -> None:
    """The wait of the operation is over now."""
    async with database.connection() as db:
        await db.execute("update operation set not_before = now() where id = $1", operation_id)


async def lapse(database: Database, operation_id: int) -> None:
    """The lease is over, as if whoever holds it had been frozen for as long."""
    async with database.connection() as db:
        await db.execute("update operation set lease_until = now() - interval '1 second' where id = $1", operation_id)


@asynccontextmanager
async def running(database: Database, work: Scripted, *, owner: UUID | None = None) -> AsyncIterator[Engine]:
    engine = Engine(database, owner or uuid4(), [work])
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def ended(database: Database, engine: Engine, operation_id: int) -> Operation:
    """The operation once it has ended; the waits between its tries are cut short."""

    async def look() -> Operation | None:
        found = await read(database, operation_id)
        if found.state.ended:
            return found
        if engine.running == 0:
            await hurry(database, operation_id)
            engine.wake()
        return None

    done: Operation = await eventually(look)
    return done
