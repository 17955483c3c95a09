"""Accounts and their keys."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from regiond.accounts.model import ApiKey, Caller
from regiond.accounts.service import REMEMBERED_S, Accounts
from regiond.db.pool import Database
from regiond.events.service import Events


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _admin(accounts: Accounts) -> tuple[Caller, ApiKey]:
    text = await accounts.ensure_admin()
    assert text is not None
    return await accounts.user("admin"), ApiKey.parse(text)


async def _signs_in(accounts: Accounts, key: ApiKey) -> Caller:
    return await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)


async def test_the_first_start_makes_an_admin_whose_key_works_and_later_starts_make_nothing(database: Database) -> None:
    accounts = Accounts(database)
    admin, key = await _admin(accounts)
    assert (len(key.consumer_key), len(key.token_key), len(key.token_secret)) == (18, 18, 32)
    assert await _signs_in(accounts, key) == admin
    assert admin.is_admin
    assert await accounts.ensure_admin() is None


async def test_several_first_starts_at_once_make_one_admin(database: Database) -> None:
    made = await asyncio.gather(*(Accounts(database).ensure_admin() for _ in range(4)))
    assert sum(text is not None for text in made) == 1
    assert [user.username for user in await Accounts(database).users()] == ["admin"]


async def test_any_part_of_a_key_that_is_wrong_is_not_authenticated(database: Database) -> None:
    accounts = Accounts(database)
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


async def test_the_secret_is_not_in_the_database(database: Database) -> None:
    _, key = await _admin(Accounts(database))
    async with database.connection() as db:
        for table in ("api_key", "event", "account"):
            rows = await db.fetch(f"select * from {table}")  # noqa: S608 - names of the test
            assert key.token_secret not in repr(rows)


async def test_a_key_is_remembered_for_a_few_seconds_and_no_longer(database: Database) -> None:
    clock = Clock()
    accounts, elsewhere = Accounts(database, clock=clock), Accounts(database)
    admin, key = await _admin(accounts)
    await _signs_in(accounts, key)
    await elsewhere.delete_key(admin, key.token_key)
    assert await _signs_in(accounts, key) == admin
    clock.now += REMEMBERED_S
    with pytest.raises(NotAuthenticated):
        await _signs_in(accounts, key)


async def test_a_thousand_requests_do_not_cost_a_thousand_queries(database: Database) -> None:
    accounts = Accounts(database)
    _, key = await _admin(accounts)
    await _signs_in(accounts, key)
    await database.close()
    for _ in range(1000):
        await _signs_in(accounts, key)


async def test_a_deleted_key_is_refused_at_once_and_the_others_go_on_working(database: Database) -> None:
    accounts = Accounts(database)
    admin, first = await _admin(accounts)
    second = ApiKey.parse(await accounts.create_key(admin, "laptop"))
    await _signs_in(accounts, first)
    await _signs_in(accounts, second)
    await accounts.delete_key(admin, first.token_key)
    with pytest.raises(NotAuthenticated):
        await _signs_in(accounts, first)
    assert await _signs_in(accounts, second) == admin
    assert [(key.name, key.token_key) for key in await accounts.list_keys(admin)] == [("laptop", second.token_key)]
    assert [event.kind for event in await Events(database).list()] == [
        "api_key_deleted",
        "api_key_created",
        "api_key_created",
    ]


async def test_nobody_deletes_a_key_of_somebody_else(database: Database) -> None:
    accounts = Accounts(database)
    _, key = await _admin(accounts)
    other = await _guest(database)
    with pytest.raises(NotFound):
        await accounts.delete_key(other, key.token_key)
    await _signs_in(accounts, key)


async def test_an_account_switched_off_is_not_allowed_in_until_it_is_switched_on(database: Database) -> None:
    accounts = Accounts(database)
    admin, _ = await _admin(accounts)
    guest = await _guest(database)
    key = ApiKey.parse(await accounts.create_key(guest, ""))
    await _signs_in(accounts, key)
    await accounts.set_active(admin, "guest", active=False)
    with pytest.raises(NotAllowed, match=r"User is not allowed access to this API\."):
        await _signs_in(accounts, key)
    await accounts.set_active(admin, "guest", active=True)
    assert await _signs_in(accounts, key) == guest
    with pytest.raises(NotAllowed):
        await accounts.set_active(guest, "admin", active=False)
    with pytest.raises(NotAllowed):
        await accounts.set_active(admin, "admin", active=False)
    with pytest.raises(NotFound):
        await accounts.set_active(admin, "nobody", active=False)


async def test_an_unknown_user_is_not_found(database: Database) -> None:
    for name in ("nobody", "", "a\0b"):
        with pytest.raises(NotFound):
            await Accounts(database).user(name)


async def test_a_key_name_that_cannot_be_shown_is_refused_by_field(database: Database) -> None:
    guest = await _guest(database)
    for name in ("x" * 256, "line\nbreak", "nul\0"):
        with pytest.raises(InvalidRequest) as refused:
            await Accounts(database).create_key(guest, name)
        assert list(refused.value.fields) == ["name"]


@given(st.text().filter(lambda text: not all(part.isalnum() for part in text.strip().split(":"))))
def test_a_text_that_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ApiKey.parse(text)
    assert refused.value.message == "An API key is three parts of letters and digits, joined by colons."


def test_a_random_key_survives_its_text_and_hides_its_secret() -> None:
    key = ApiKey.random()
    assert ApiKey.parse(f" {key}\n") == key
    assert key.token_secret not in repr(key)
    assert ApiKey.random() != key


async def _guest(database: Database) -> Caller:
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ('guest') returning id")
    return Caller(account_id=account_id, username="guest", is_admin=False)
