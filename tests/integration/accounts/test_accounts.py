"""Accounts, API keys and their cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NotAuthenticated, NotFound
from regiond.accounts.model import MAX_KEYS, ApiKey, Login, SignatureMethod
from regiond.accounts.service import CACHE_S, Accounts
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.requests.caller import Caller
from tests.support.administrators import add_administrator
from tests.support.clock import Clock
from tests.support.waiting import settle

MASTER_KEY = MasterKey.random()
pytestmark = pytest.mark.database


def _accounts(database: Database, *, clock: Callable[[], float] = time.monotonic) -> Accounts:
    return Accounts(database, record_event=Events.record, secrets=Credentials(MASTER_KEY).of_api_keys(), clock=clock)


async def _rows(database: Database, statement: str) -> Sequence[Any]:
    async with database.connection() as db:
        return await db.fetch(statement)


@pytest.fixture
def accounts(database: Database) -> Accounts:
    settle(add_administrator(database))
    return _accounts(database)


async def _admin(accounts: Accounts) -> tuple[Caller, ApiKey]:
    admin = await accounts.user("admin")
    return admin, ApiKey.parse(await accounts.create_key(admin, "first"))


async def _authenticate(accounts: Accounts, key: ApiKey) -> Caller:
    return await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)


@pytest.mark.slow
async def test_a_key_has_three_parts_and_authenticates_its_account(accounts: Accounts) -> None:
    admin, key = await _admin(accounts)
    assert (len(key.consumer_key), len(key.token_key), len(key.token_secret)) == (18, 18, 32)
    assert await _authenticate(accounts, key) == admin
    assert admin.is_admin


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


async def test_an_authenticated_key_is_cached_for_three_seconds(accounts: Accounts, database: Database) -> None:
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
    accounts = _accounts(database, clock=Clock())  # stands still, however long the test takes
    _, key = await _admin(accounts)
    await _authenticate(accounts, key)
    await database.close()
    for _ in range(1000):
        await _authenticate(accounts, key)


async def test_the_secret_of_a_key_for_hmac_is_sealed(accounts: Accounts, database: Database) -> None:
    admin = await accounts.user("admin")
    key = ApiKey.parse(await accounts.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    rows = await _rows(database, "select * from api_key where sealed_token_secret is not null")
    assert key.token_secret not in repr(rows)
    assert key.token_secret.encode() not in rows[0]["sealed_token_secret"]
    methods = [one.signature_method for one in await accounts.list_keys(admin)]
    assert methods == [SignatureMethod.PLAINTEXT, SignatureMethod.HMAC_SHA1]
    parts = (key.consumer_key, key.token_key)
    for _ in range(2):  # the second time from the cache
        assert await accounts.authenticate_signed(*parts, key.token_secret.__eq__) == admin
        with pytest.raises(NotAuthenticated, match=r"^Invalid API key\.$"):
            await accounts.authenticate_signed(*parts, key.token_secret.__ne__)


async def test_a_key_is_for_one_signature_method(accounts: Accounts) -> None:
    admin, plain = await _admin(accounts)
    signing = ApiKey.parse(await accounts.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    unknown = ApiKey.random()
    for key, reason in (
        (plain, "^This API key is for PLAINTEXT, .* signature_method=HMAC-SHA1$"),
        (unknown, r"^Invalid API key\.$"),
    ):
        with pytest.raises(NotAuthenticated, match=reason):
            await accounts.authenticate_signed(key.consumer_key, key.token_key, lambda _: True)
    for key in (signing, unknown):
        with pytest.raises(NotAuthenticated, match=r"^Invalid API key\.$"):
            await _authenticate(accounts, key)


async def test_who_knows_a_key_without_its_secret_is_not_let_in(accounts: Accounts) -> None:
    """Consumer and token are readable in every signed request. A cached key for HMAC must not answer for PLAINTEXT."""
    admin = await accounts.user("admin")
    key = ApiKey.parse(await accounts.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    assert await accounts.named(key.consumer_key, key.token_key) == admin
    for _ in range(2):  # before and after the key was used, and is cached
        for parts in (("HMAC-SHA1", key.consumer_key, key.token_key), (key.consumer_key, key.token_key, "x")):
            with pytest.raises(NotAuthenticated):
                await accounts.authenticate(*parts)
        with pytest.raises(NotAuthenticated):
            await accounts.authenticate_signed(key.consumer_key, key.token_key, lambda _: False)
        await accounts.authenticate_signed(key.consumer_key, key.token_key, key.token_secret.__eq__)


async def test_a_key_that_is_only_named_is_not_cached_and_counts_as_unused(accounts: Accounts) -> None:
    admin = await accounts.user("admin")
    key = ApiKey.parse(await accounts.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    await accounts.named(key.consumer_key, key.token_key)
    await accounts.write_key_use()
    assert [one.last_used_at for one in await accounts.list_keys(admin) if one.name == "capi"] == [None]
    with pytest.raises(NotAuthenticated):
        await accounts.named(key.consumer_key, "other")


async def test_a_deleted_key_for_hmac_is_rejected_at_once(accounts: Accounts) -> None:
    admin = await accounts.user("admin")
    key = ApiKey.parse(await accounts.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    await accounts.authenticate_signed(key.consumer_key, key.token_key, lambda _: True)
    await accounts.delete_key(admin, key.token_key)
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate_signed(key.consumer_key, key.token_key, lambda _: True)


async def test_a_deleted_key_is_rejected_at_once_and_others_work(accounts: Accounts, database: Database) -> None:
    admin, first = await _admin(accounts)
    second = ApiKey.parse(await accounts.create_key(admin, "laptop"))
    await _authenticate(accounts, first)
    await _authenticate(accounts, second)
    await accounts.delete_key(admin, first.token_key)
    with pytest.raises(NotAuthenticated):
        await _authenticate(accounts, first)
    assert await _authenticate(accounts, second) == admin
    names = [(key.name, key.token_key) for key in await accounts.list_keys(admin)]
    assert names[1:] == [("laptop", second.token_key)]
    events = [event.kind for event in await Events(database).list()]
    assert events == ["api_key_deleted", *["api_key_created"] * 3]


async def test_a_key_of_another_account_cannot_be_deleted(accounts: Accounts, database: Database) -> None:
    _, key = await _admin(accounts)
    other = await _guest(database)
    with pytest.raises(NotFound):
        await accounts.delete_key(other, key.token_key)
    await _authenticate(accounts, key)


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


async def test_an_expired_key_is_rejected_and_says_so(accounts: Accounts, database: Database) -> None:
    admin, _ = await _admin(accounts)
    key = ApiKey.parse(await accounts.create_key(admin, "pipeline", lifetime=timedelta(hours=1)))
    assert await _authenticate(accounts, key) == admin
    assert (await accounts.list_keys(admin))[-1].expires_at is not None
    async with database.connection() as db:
        await db.execute("update api_key set expires_at = now() where name = 'pipeline'")
    with pytest.raises(NotAuthenticated, match=r"This API key expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        await _authenticate(_accounts(database), key)
    wrong = ApiKey(consumer_key=key.consumer_key, token_key=key.token_key, token_secret="x" * 32)
    with pytest.raises(NotAuthenticated, match="Invalid API key"):
        await _authenticate(_accounts(database), wrong)


async def test_a_key_that_a_key_creates_expires_no_later(accounts: Accounts, database: Database) -> None:
    admin, first = await _admin(accounts)
    await accounts.create_key(await _authenticate(accounts, first), "endless")
    key = ApiKey.parse(await accounts.create_key(admin, "pipeline", lifetime=timedelta(hours=1)))
    by_key = await _authenticate(accounts, key)
    await accounts.create_key(by_key, "longer", lifetime=timedelta(hours=2))
    await accounts.create_key(by_key, "shorter", lifetime=timedelta(minutes=2))
    made = ApiKey.parse(await accounts.create_key(by_key, "for ever"))
    await accounts.create_key(await _authenticate(accounts, made), "for ever, again")
    ends = {one.name: one.expires_at for one in await accounts.list_keys(admin)}
    assert ends["endless"] is None
    limit = ends["pipeline"]
    assert limit is not None
    assert ends["shorter"] is not None
    assert ends["shorter"] < limit
    assert {ends["longer"], ends["for ever"], ends["for ever, again"]} == {limit}


async def test_a_key_that_was_just_deleted_creates_none(accounts: Accounts, database: Database) -> None:
    admin, _ = await _admin(accounts)
    key = ApiKey.parse(await accounts.create_key(admin, "pipeline", lifetime=timedelta(hours=1)))
    by_key = await _authenticate(accounts, key)
    await accounts.delete_key(admin, key.token_key)
    with pytest.raises(NotAuthenticated, match="was just deleted"):
        await accounts.create_key(by_key, "for ever")
    assert "for ever" not in {one.name for one in await accounts.list_keys(admin)}


async def test_the_last_use_of_keys_is_written_in_batches(accounts: Accounts, database: Database) -> None:
    admin, key = await _admin(accounts)
    await _authenticate(accounts, key)
    assert (await accounts.list_keys(admin))[-1].last_used_at is None
    await accounts.write_key_use()
    used_at = (await accounts.list_keys(admin))[-1].last_used_at
    assert used_at is not None
    await accounts.write_key_use()
    assert (await accounts.list_keys(admin))[-1].last_used_at == used_at, "not used since"


async def test_a_key_is_renamed_by_its_owner_only(accounts: Accounts, database: Database) -> None:
    admin, key = await _admin(accounts)
    assert (await accounts.rename_key(admin, key.token_key, " laptop ")).name == "laptop"
    with pytest.raises(NotFound):
        await accounts.rename_key(await _guest(database), key.token_key, "mine")
    with pytest.raises(InvalidRequest):
        await accounts.rename_key(admin, key.token_key, "line\nbreak")


async def test_a_user_has_a_limited_number_of_keys(accounts: Accounts, database: Database) -> None:
    guest = await _guest(database)
    login = Login(caller=guest, password_hash="hash")  # noqa: S106
    async with database.connection() as db:
        await db.execute("update account set password_hash = 'hash' where id = $1", guest.account_id)
    oldest = await accounts.create_key(guest, "login", login=login)
    for number in range(MAX_KEYS - 1):
        await accounts.create_key(guest, f"key {number}")
    with pytest.raises(InvalidRequest, match=f"has {MAX_KEYS} API keys"):
        await accounts.create_key(guest, "one more")
    newest = await accounts.create_key(guest, "login", login=login)
    assert await _authenticate(accounts, ApiKey.parse(newest)) == guest
    with pytest.raises(NotAuthenticated):
        await _authenticate(accounts, ApiKey.parse(oldest))
    assert len(await accounts.list_keys(guest)) == MAX_KEYS


async def _guest(database: Database) -> Caller:
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ('guest') returning id")
    return Caller(account_id=account_id, username="guest", is_admin=False)
