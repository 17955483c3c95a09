"""Login with user name and password."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from common.errors import InvalidRequest, NotAuthenticated, NotFound, TooManyAttempts
from regiond.accounts.login_limits import FREE_FAILURES
from regiond.accounts.logins import LOGIN_KEYS, Logins
from regiond.accounts.model import WRONG, ApiKey
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.db.pool import Database
from regiond.events.service import Events
from tests.support.administrators import add_administrator
from tests.support.clock import Clock
from tests.support.waiting import settle

pytestmark = pytest.mark.database

PASSWORD = "vault-orbit-kettle-91"  # noqa: S105


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    created = Accounts(database, record_event=Events.record)
    settle(add_administrator(database))
    return created


@pytest.fixture
def logins(database: Database, accounts: Accounts, clock: Clock) -> Iterator[Logins]:
    created = Logins(database, accounts, Passwords(), record_event=Events.record, clock=clock)
    yield created
    settle(created.stop())


async def _rejection(logins: Logins, username: str, password: str) -> str:
    with pytest.raises(NotAuthenticated) as error:
        await logins.log_in(username, password, key_name="", address="10.0.0.1")
    return error.value.message


async def test_a_login_makes_a_named_key(logins: Logins, accounts: Accounts) -> None:
    await logins.set_password("admin", PASSWORD)
    name, text = await logins.log_in("admin", PASSWORD, key_name="ann@laptop", address="10.0.0.1")
    key = ApiKey.parse(text)
    admin = await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)
    assert (name, admin.username) == ("ann@laptop", "admin")
    assert (await accounts.list_keys(admin))[-1].name == "ann@laptop"


@pytest.mark.slow
async def test_older_keys_of_many_logins_under_one_name_end(logins: Logins, accounts: Accounts) -> None:
    await logins.set_password("admin", PASSWORD)
    admin = await accounts.user("admin")
    kept = ApiKey.parse(await accounts.create_key(admin, "script"))
    keys = [
        ApiKey.parse((await logins.log_in("admin", PASSWORD, key_name="ann@laptop", address="10.0.0.1"))[1])
        for _ in range(LOGIN_KEYS)
    ]
    first, second = keys[:2]
    assert await accounts.authenticate(first.consumer_key, first.token_key, first.token_secret) == admin
    await logins.log_in("admin", PASSWORD, key_name="ann@laptop", address="10.0.0.1")
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate(first.consumer_key, first.token_key, first.token_secret)
    for key in (second, kept):
        assert await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret) == admin
    names = [key.name for key in await accounts.list_keys(admin)]
    assert names.count("ann@laptop") == LOGIN_KEYS


async def test_the_threads_for_passwords_end_with_the_region(logins: Logins) -> None:
    assert await _rejection(logins, "admin", PASSWORD) == WRONG
    assert [thread for thread in threading.enumerate() if thread.name.startswith("password")]
    await logins.stop()
    await logins.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("password")]


async def test_every_failure_has_the_same_answer(logins: Logins, database: Database) -> None:
    assert await _rejection(logins, "admin", PASSWORD) == WRONG, "no password is set"
    await logins.set_password("admin", PASSWORD)
    assert await _rejection(logins, "nobody", PASSWORD) == WRONG
    assert await _rejection(logins, "admin\0", PASSWORD) == WRONG
    assert await _rejection(logins, "admin", "wrong") == WRONG
    async with database.connection() as db:
        await db.execute("update account set is_active = false")
    assert await _rejection(logins, "admin", PASSWORD) == WRONG


async def test_failures_are_limited_and_one_event_names_them(logins: Logins, database: Database, clock: Clock) -> None:
    await logins.set_password("admin", PASSWORD)
    for _ in range(FREE_FAILURES):
        await _rejection(logins, "admin", "wrong")
    with pytest.raises(TooManyAttempts) as error:
        await logins.log_in("admin", PASSWORD, key_name="", address="10.0.0.1")
    assert error.value.details["retry_after_s"] >= 2
    clock.now += 60
    await _rejection(logins, "admin", "wrong")
    clock.now += 60
    await logins.log_in("admin", PASSWORD, key_name="", address="10.0.0.1")
    messages = [one.message for one in await Events(database).list() if one.kind == "login_failed"]
    assert messages == [
        "5 logins failed, the last as 'admin' from 10.0.0.1.",
        "A login as 'admin' from 10.0.0.1 failed.",
    ]


async def test_a_password_is_stored_as_argon2id_only(logins: Logins, database: Database) -> None:
    await logins.set_password("admin", PASSWORD)
    async with database.connection() as db:
        stored = await db.fetchval("select password_hash from account")
        assert stored.startswith("$argon2id$")
        assert PASSWORD not in repr(await db.fetch("select * from event"))


async def test_weak_passwords_and_unknown_accounts_are_rejected(logins: Logins) -> None:
    with pytest.raises(InvalidRequest, match="at least 12"):
        await logins.set_password("admin", "short")
    with pytest.raises(NotFound):
        await logins.set_password("nobody", PASSWORD)
