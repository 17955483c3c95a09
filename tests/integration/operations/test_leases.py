"""Statements on several operations while other transactions have locked some of the rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from regiond.db.pool import Database, Db
from regiond.operations import lease_store, wait_store
from regiond.operations import store as operation_store
from tests.integration.support.rigs.scripted_operations import acquire, open_operation
from tests.integration.support.tables import lock_waiters
from tests.postgresql.database import execute
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

_LEASED = "select id from operation where lease_owner is not null order by id"
_SET_WAITING = """
    update operation set state = 'waiting', error_code = 'rack_unreachable', lease_owner = null, lease_until = null,
                         not_before = now() + interval '1 hour'
     where id = $1
"""
_LOCK_NOWAIT = "select id from operation where id = $1 for update nowait"
_SEQUENTIAL_SCAN = """
    set local enable_indexscan = off; set local enable_indexonlyscan = off; set local enable_bitmapscan = off
"""


async def two_leased(database: Database, owner: UUID) -> tuple[int, int]:
    """Two leased operations whose rows lie in reverse id order in the table."""
    first, second = await open_operation(database), await open_operation(database)
    await acquire(database, owner)
    async with database.connection() as db:
        await operation_store.explain(db, first, {"row": "stored after the second"})
    return first, second


@asynccontextmanager
async def locked(database: Database, operation_id: int) -> AsyncIterator[Db]:
    """An open transaction that has changed the operation."""
    async with database.transaction() as db:
        await operation_store.explain(db, operation_id, {"changed": "by another transaction"})
        yield db


async def renew(db: Db, owner: UUID, ids: tuple[int, int]) -> None:
    assert await lease_store.renew(db, owner, ids) == {*ids}


async def wake(db: Db, _: UUID, __: tuple[int, int]) -> None:
    await wait_store.wake_waiting(db)


@pytest.mark.parametrize("change", [renew, wake])
async def test_several_rows_are_locked_in_id_order(
    database: Database, change: Callable[[Db, UUID, tuple[int, int]], Coroutine[Any, Any, None]]
) -> None:
    """While the statement waits for the first row it holds no later row, so lockers in id order cannot deadlock."""
    owner = uuid4()
    first, second = await two_leased(database, owner)
    if change is wake:
        for one in (second, first):
            await execute(database, _SET_WAITING, one)
    async with database.transaction() as db:
        await db.execute(_SEQUENTIAL_SCAN)
        async with locked(database, first) as other:
            changing = asyncio.create_task(change(db, owner, (first, second)))
            await eventually(lambda: lock_waiters(database))
            assert await other.fetchval(_LOCK_NOWAIT, second) == second
        await changing


async def test_release_leases_skips_locked_rows(database: Database) -> None:
    owner = uuid4()
    first, second = await two_leased(database, owner)
    async with database.transaction() as db:
        await db.execute("set local lock_timeout = '1s'")
        async with locked(database, first):
            await lease_store.release_leases(db, owner)
            assert [row["id"] for row in await db.fetch(_LEASED)] == [first], f"{second} is free"
        await lease_store.release_leases(db, owner)
        assert await db.fetch(_LEASED) == []
