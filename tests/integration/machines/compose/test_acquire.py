"""Which due operations a region acquires: a few of each host, none that it would wait for, none of a live region."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from regiond.db.pool import Database
from regiond.operations import store as operation_store
from tests.integration.support.ledger_fixture import prepare
from tests.integration.support.rigs.scripted_operations import acquire, open_operation
from tests.postgresql.database import execute

pytestmark = pytest.mark.database

_REGION = (
    "insert into region_process (id, hostname, pid, seen_at) values ($1, 'r', 1, now() - $2::float8 * interval '1 s')"
)
_RACK = """
    with rack as (
        insert into rack (id, name, certificate_fingerprint, certificate_expires_at)
        values (gen_random_uuid(), 'r', 'f', now()) returning id
    )
    insert into rack_link (rack_id, region_id) select id, $1 from rack
"""


async def acquired(database: Database, owner: UUID | None = None) -> list[int]:
    return [one.id for one in await acquire(database, owner)]


async def test_a_host_with_many_due_operations_leaves_room_for_others(database: Database) -> None:
    first, second = (await prepare(database)).hosts
    many = [await open_operation(database, host_id=first) for _ in range(6)]
    other = await open_operation(database, host_id=second)
    assert await acquired(database) == [*many[:4], other]
    assert await acquired(database) == many[4:]  # the running ones do not count: a region limits its own


async def test_a_locked_operation_is_left_and_not_awaited(database: Database) -> None:
    locked, free = await open_operation(database), await open_operation(database)
    async with database.transaction() as db:
        await operation_store.explain(db, locked, {"changed": "by another transaction"})
        async with asyncio.timeout(30):
            assert await acquired(database) == [free]
    assert await acquired(database) == [locked]


@pytest.mark.parametrize(("silent_s", "is_left"), [(0.0, True), (25.0, True), (31.0, False)])
async def test_an_operation_is_left_to_a_live_region_that_reaches_its_host(
    database: Database, silent_s: float, *, is_left: bool
) -> None:
    host_id = (await prepare(database)).hosts[0]
    here, there = uuid4(), uuid4()
    await execute(database, _REGION, there, silent_s)
    await execute(database, _RACK, there)
    operation_id = await open_operation(database, host_id=host_id)
    assert await acquired(database, here) == ([] if is_left else [operation_id])
    if is_left:
        assert await acquired(database, there) == [operation_id]
