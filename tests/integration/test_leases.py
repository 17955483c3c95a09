"""What is changed of several operations at once, while others have locked some of their rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from regiond.db.pool import Database, Db
from regiond.operations import lease_store, store
from tests.integration.works import opened
from tests.waiting import eventually

_LEASED = "select id from operation where lease_owner is not null order by id"
_WAIT = """
    update operation set state = 'waiting', error_code = 'rack_unreachable', lease_owner = null, lease_until = null,
                         not_before = now() + interval '1 hour'
     where id = $1
"""
_WAITING = """
    select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
_LOCK_AT_ONCE = "select id from operation where id = $1 for update nowait"
_AS_IT_LIES = """
    set local enable_indexscan = off; set local enable_indexonlyscan = off; set local enable_bitmapscan = off
"""


async def two_held(database: Database, owner: UUID) -> tuple[int, int]:
    """Whoever reads the table as it lies meets the second one first."""
    first, second = await opened(database), await opened(database)
    async with database.connection() as db:
        await lease_store.take(db, owner, limit=10, full_hosts=())
        await store.explain(db, first, {"moved": "its row behind the other"})
    return first, second


@asynccontextmanager
async def locked(database: Database, operation_id: int) -> AsyncIterator[Db]:
    """A transaction that has changed it and is not over."""
    async with database.transaction() as db:
        await store.explain(db, operation_id, {"changed": "a moment ago"})
        yield db


async def renew(db: Db, owner: UUID, ids: tuple[int, int]) -> None:
    assert await lease_store.renew(db, owner, ids) == {*ids}


async def wake(db: Db, _: UUID, __: tuple[int, int]) -> None:
    await store.wake_waiting(db)


@pytest.mark.parametrize("change", [renew, wake])
async def test_who_changes_several_has_none_while_it_waits_for_the_first(
    database: Database, change: Callable[[Db, UUID, tuple[int, int]], Coroutine[Any, Any, None]]
) -> None:
    """So nobody who locks them in the order of their ids meets it in a circle."""
    owner = uuid4()
    first, second = await two_held(database, owner)
    if change is wake:
        async with database.connection() as db:
            for one in (second, first):
                await db.execute(_WAIT, one)
    async with database.transaction() as db:
        await db.execute(_AS_IT_LIES)
        async with locked(database, first) as other:
            changing = asyncio.create_task(change(db, owner, (first, second)))
            await eventually(lambda: other.fetchval(_WAITING))
            assert await other.fetchval(_LOCK_AT_ONCE, second) == second
        await changing


async def test_handing_back_waits_for_nobody_and_frees_the_others(database: Database) -> None:
    owner = uuid4()
    first, second = await two_held(database, owner)
    async with database.transaction() as db:
        await db.execute("set local lock_timeout = '1s'")
        async with locked(database, first):
            await lease_store.hand_back(db, owner)
            assert [row["id"] for row in await db.fetch(_LEASED)] == [first], f"{second} is free"
        await lease_store.hand_back(db, owner)
        assert await db.fetch(_LEASED) == []
