"""A key is tied to its account, its request and the operation, in the transaction that opens the operation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve

from common.errors import Busy, IdempotencyMismatch, OutOfCapacity
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.operations import intent_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency import store
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.service import Operations
from tests.integration.support.tables import lock_waiters
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually, settle

pytestmark = pytest.mark.database

_ACCOUNT = "insert into account (username, is_admin) values ($1, false) returning id"
_ROWS = "select coalesce(jsonb_agg(k order by k.account_id, k.key), '[]') from idempotency_key k"
_OPERATIONS = "select coalesce(array_agg(id order by id), '{}') from operation"
_OVERDUE = "update idempotency_key set lease_ends_at = now() - interval '1 second'"


@pytest.fixture
def key(database: Database) -> IdempotencyKey:
    return settle(key_of(database, "ann"))


async def key_of(database: Database, username: str) -> IdempotencyKey:
    account_id: int = await fetchval(database, _ACCOUNT, username)
    return IdempotencyKey(account_id=account_id, text="k", digest=b"request")


def again(key: IdempotencyKey, **changes: Any) -> IdempotencyKey:
    """The key of a repeat, which knows nothing yet."""
    return evolve(key, **{"is_tied": False, "operation_id": None, **changes})


def opening(database: Database, key: IdempotencyKey) -> Callable[[], Awaitable[int]]:
    async def open_operation() -> int:
        async with database.transaction() as db:
            return await opened(db, key)

    return open_operation


async def opened(db: Db, key: IdempotencyKey) -> int:
    operation_id = await intent_store.insert(
        db, OperationKind.CLEAN_UP, host_id=None, host_name=None, account_id=key.account_id, request={}, max_failures=1
    )
    await idempotency_service.tie_key(db, key, operation_id)
    return operation_id


async def never() -> int:
    raise AssertionError("a repeat opened an operation")


async def rows(database: Database) -> Any:
    return await fetchval(database, _ROWS)


async def operations(database: Database) -> list[int]:
    found: list[int] = await fetchval(database, _OPERATIONS)
    return found


async def test_a_repeat_gets_the_operation_and_opens_none(database: Database, key: IdempotencyKey) -> None:
    first = await Operations(database).idempotent(key, opening(database, key))
    (row,) = await rows(database)
    assert (row["account_id"], row["key"], row["operation_id"]) == (key.account_id, "k", first.id)
    assert key.is_tied
    repeat = again(key)
    assert (await Operations(database).idempotent(repeat, never)).id == first.id
    assert (repeat.operation_id, await operations(database)) == (first.id, [first.id])


async def test_another_request_with_the_key_opens_nothing(database: Database, key: IdempotencyKey) -> None:
    first = await Operations(database).idempotent(key, opening(database, key))
    before = await rows(database)
    other = again(key, digest=b"another request")
    with pytest.raises(IdempotencyMismatch, match=f"operation {first.id}"):
        await Operations(database).idempotent(other, opening(database, other))
    assert (await rows(database), await operations(database)) == (before, [first.id])


@pytest.mark.parametrize("differs", ["account", "text"])
async def test_the_key_of_another_account_or_text_is_another(
    database: Database, key: IdempotencyKey, differs: str
) -> None:
    first = await Operations(database).idempotent(key, opening(database, key))
    other = again(key, text="k2") if differs == "text" else await key_of(database, "bob")
    second = await Operations(database).idempotent(other, opening(database, other))
    assert await operations(database) == [first.id, second.id]
    for one, operation in ((key, first), (other, second)):
        repeat = again(one)
        assert (await Operations(database).idempotent(repeat, opening(database, repeat))).id == operation.id


async def test_an_intent_that_is_rolled_back_leaves_its_key_free(database: Database, key: IdempotencyKey) -> None:
    async def reject() -> int:
        async with database.transaction() as db:
            await opened(db, again(key))
            raise OutOfCapacity("full")

    with pytest.raises(OutOfCapacity):
        await Operations(database).idempotent(key, reject)
    assert (await rows(database), await operations(database)) == ([], [])
    await Operations(database).idempotent(key, opening(database, key))


async def test_nobody_sees_the_operation_without_its_key(database: Database, key: IdempotencyKey) -> None:
    async with database.transaction() as db:
        await opened(db, key)
        assert (await rows(database), await operations(database)) == ([], [])
    assert (len(await rows(database)), len(await operations(database))) == (1, 1)


async def test_of_two_at_once_one_opens_and_both_receive_it(database: Database, key: IdempotencyKey) -> None:
    """The second inserts its operation before the first commits, so only the key makes it give way."""
    second = again(key)
    async with database.transaction() as db:
        first_id = await opened(db, key)
        late = asyncio.create_task(Operations(database).idempotent(second, opening(database, second)))
        await eventually(lambda: lock_waiters(database))
    assert (await late).id == first_id
    assert (second.is_tied, second.operation_id) == (False, first_id)
    assert await operations(database) == [first_id]


async def test_a_tie_to_a_key_in_use_is_busy_and_changes_nothing(database: Database, key: IdempotencyKey) -> None:
    first = await Operations(database).idempotent(key, opening(database, key))
    before, second = await rows(database), again(key)
    with pytest.raises(Busy, match="idempotency key 'k' is in progress"):
        await opening(database, second)()
    assert (second.is_tied, await rows(database), await operations(database)) == (False, before, [first.id])


async def test_a_key_of_a_running_request_is_not_tied(database: Database, key: IdempotencyKey) -> None:
    async with database.connection() as db:
        assert await store.begin(db, key)
    before = await rows(database)
    with pytest.raises(Busy):
        await opening(database, again(key))()
    assert (await rows(database), await operations(database)) == (before, [])


async def test_a_tied_key_keeps_its_operation(database: Database, key: IdempotencyKey) -> None:
    """Whatever a late request with the key writes: it neither replaces nor ends what the key is tied to."""
    first = await Operations(database).idempotent(key, opening(database, key))
    before = await rows(database)
    async with database.transaction() as db:
        assert not await store.begin(db, again(key))
        await store.renew(db, again(key))
        await store.keep(db, again(key), b"sealed")
        await store.end(db, again(key))
    assert await rows(database) == before
    async with database.connection() as db:
        found = await store.find(db, key)
    assert found is not None
    assert (found.operation_id, found.sealed_answer, found.is_abandoned) == (first.id, None, False)


@pytest.mark.parametrize("differs", ["account", "text"])
async def test_a_request_changes_only_the_lease_of_its_own_key(
    database: Database, key: IdempotencyKey, differs: str
) -> None:
    other = again(key, text="k2") if differs == "text" else await key_of(database, "bob")
    async with database.connection() as db:
        assert await store.begin(db, key)
        assert await store.begin(db, other)
        await db.execute(_OVERDUE)
        await store.renew(db, other)
        found = await store.find(db, key)
        assert found is not None
        assert found.is_abandoned
        await store.end(db, other)
        assert await store.find(db, key) == found
        assert await store.find(db, other) is None


async def test_an_answer_is_kept_for_its_own_request_only(database: Database, key: IdempotencyKey) -> None:
    async with database.connection() as db:
        assert await store.begin(db, key)
        await store.keep(db, again(key, digest=b"another request"), b"sealed")
        running = await store.find(db, key)
        assert running is not None
        assert (running.digest, running.sealed_answer) == (key.digest, None)
        await store.keep(db, key, b"first")
        await store.keep(db, key, b"second")
        kept = await store.find(db, key)
    assert kept is not None
    assert (kept.digest, kept.sealed_answer, kept.operation_id) == (key.digest, b"first", None)


async def test_a_deleted_account_keeps_no_answer(database: Database, key: IdempotencyKey) -> None:
    await execute(database, "delete from account where id = $1", key.account_id)
    async with database.connection() as db:
        await store.keep(db, key, b"sealed")
    assert await rows(database) == []
