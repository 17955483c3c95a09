"""Accounts, API keys and their cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from regiond.accounts.model import ApiKey
from regiond.accounts.service import CACHE_S, Accounts
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from tests.clock import Clock


def _accounts(database: Database, *, clock: Callable[[], float] = time.monotonic) -> Accounts:
    return Accounts(database, record_event=Events.record, clock=clock)


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return _accounts(database)


async def _admin(accounts: Accounts) -> tuple[Caller, ApiKey]:
    text = await accounts.ensure_admin()
    assert text is not None
    return await accounts.user("admin"), ApiKey.parse(text)


async def _authenticate(accounts: Accounts, key: ApiKey) -> Caller:
    return await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)


async def test_only_the_first_start_creates_an_admin(accounts: Accounts) -> None:
    admin, key = await _admin(accounts)
    assert (len(key.consumer_key), len(key.token_key), len(key.token_secret)) == (18, 18, 32)
    assert await _authenticate(accounts, key) == admin
    assert admin.is_admin
    assert await accounts.ensure_admin() is None


async def test_concurrent_first_starts_create_one_admin(database: Database) -> None:
    keys = await asyncio.gather(*(_accounts(database).ensure_admin() for _ in range(4)))
    assert sum(text is not None for text in keys) == 1
    assert [user.username for user in await _accounts(database).users()] == ["admin"]


async def test_a_key_with_any_wrong_part_is_not_authenticated(accounts: Accounts) -> None:
    _, key = await _admin(accounts)
    for parts in (
        ("x" * 18, key.token_key, key.token_secret),
        (key.consumer_key, "x" * 18, key.token_secret),
        (key.consumer_key, key.token_key, "x" * 32),
        (key.consumer_key, key.token_key, ""),
        (key.consumer_key, key.token_key + "\0", key.token_secret),
        (key.consumer_key, key.token_key, key.token_secret + "é\ud800"),
    ):
        with pytest.raises(NotAuthenticated, match=r"Invalid API key\."):
            await accounts.authenticate(*parts)


async def test_the_secret_is_not_in_the_database(accounts: Accounts, database: Database) -> None:
    _, key = await _admin(accounts)
    async with database.connection() as db:
        for table in ("api_key", "event", "account"):
            rows = await db.fetch(f"select * from {table}")  # noqa: S608 - constants of the test
            assert key.token_secret not in repr(rows)


async def test_an_authenticated_key_is_cached_for_three_seconds(database: Database) -> None:
    clock = Clock()
    accounts, other_region = _accounts(database, clock=clock), _accounts(database)
    admin, key = await _admin(accounts)
    await _authenticate(accounts, key)
    await other_region.delete_key(admin, key.token_key)
    assert await _authenticate(accounts, key) == admin
    clock.now += CACHE_S
    with pytest.raises(NotAuthenticated):
        await _authenticate(accounts, key)


async def test_cached_authentication_needs_no_query(accounts: Accounts, database: Database) -> None:
    _, key = await _admin(accounts)
    await _authenticate(accounts, key)
    await database.close()
    for _ in range(1000):
        await _authenticate(accounts, key)


async def test_a_deleted_key_is_rejected_at_once_and_others_work(accounts: Accounts, database: Database) -> None:
    admin, first = await _admin(accounts)
    second = ApiKey.parse(await accounts.create_key(admin, "laptop"))
    await _authenticate(accounts, first)
    await _authenticate(accounts, second)
    await accounts.delete_key(admin, first.token_key)
    with pytest.raises(NotAuthenticated):
        await _authenticate(accounts, first)
    assert await _authenticate(accounts, second) == admin
    assert [(key.name, key.token_key) for key in await accounts.list_keys(admin)] == [("laptop", second.token_key)]
    events = [event.kind for event in await Events(database).list()]
    assert events == ["api_key_deleted", "api_key_created", "api_key_created"]


async def test_a_key_of_another_account_cannot_be_deleted(accounts: Accounts, database: Database) -> None:
    _, key = await _admin(accounts)
    other = await _guest(database)
    with pytest.raises(NotFound):
        await accounts.delete_key(other, key.token_key)
    await _authenticate(accounts, key)


async def test_a_deactivated_account_is_rejected_until_activated(accounts: Accounts, database: Database) -> None:
    admin, _ = await _admin(accounts)
    guest = await _guest(database)
    key = ApiKey.parse(await accounts.create_key(guest, ""))
    await _authenticate(accounts, key)
    await accounts.set_active(admin, "guest", active=False)
    with pytest.raises(NotAllowed, match=r"User is not allowed access to this API\."):
        await _authenticate(accounts, key)
    await accounts.set_active(admin, "guest", active=True)
    assert await _authenticate(accounts, key) == guest
    for caller in (guest, admin):
        with pytest.raises(NotAllowed):
            await accounts.set_active(caller, "admin", active=False)
    with pytest.raises(NotFound):
        await accounts.set_active(admin, "unknown", active=False)


async def test_an_unknown_user_is_not_found(accounts: Accounts) -> None:
    for name in ("unknown", "", "a\0b"):
        with pytest.raises(NotFound):
            await accounts.user(name)


async def test_an_unprintable_key_name_is_rejected_for_its_field(accounts: Accounts, database: Database) -> None:
    guest = await _guest(database)
    for name in ("x" * 256, "line\nbreak", "nul\0"):
        with pytest.raises(InvalidRequest) as rejected:
            await accounts.create_key(guest, name)
        assert list(rejected.value.fields) == ["name"]


@given(st.text().filter(lambda text: not all(part.isalnum() for part in text.strip().split(":"))))
def test_an_invalid_key_is_rejected_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidRequest) as rejected:
        ApiKey.parse(text)
    assert rejected.value.message == "An API key has three parts of letters and digits, joined by colons."


def test_a_random_key_round_trips_and_hides_its_secret() -> None:
    key = ApiKey.random()
    assert ApiKey.parse(f" {key}\n") == key
    assert key.token_secret not in repr(key)
    assert ApiKey.random() != key


async def _guest(database: Database) -> Caller:
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ('guest') returning id")
    return Caller(account_id=account_id, username="guest", is_admin=False)
