"""Users who come from another installation: their passwords, SSH keys and API keys go on, and nobody else's change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from common.errors import InvalidRequest, NotAllowed, NotAuthenticated
from regiond.accounts.imported import KEY_NAME, UserImports
from regiond.accounts.logins import Logins
from regiond.accounts.model import ApiKey, ImportedUser
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.ssh_keys import MAX_SSH_KEYS
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.requests.caller import Caller
from tests.maas_site.people import ADMIN, PASSWORD, PASSWORD_HASH, SSH_KEYS
from tests.support.administrators import add_administrator
from tests.support.clock import Clock
from tests.support.waiting import settle

pytestmark = pytest.mark.database

KEY = ApiKey(consumer_key="a" * 18, token_key="b" * 18, token_secret="c" * 32)
OLAF = ImportedUser(
    username="olaf", email="olaf@example.com", password_hash=PASSWORD_HASH, ssh_keys=SSH_KEYS[ADMIN], api_keys=(KEY,)
)
_HASH = "select password_hash from account where username = $1"
_ITS_KEYS = """
    select (select count(*) from ssh_key k where k.account_id = a.id), (select count(*) from api_key k where
    k.account_id = a.id) from account a where username = $1
"""


@pytest.fixture
def accounts(database: Database) -> Accounts:
    created = Accounts(database, record_event=Events.record)
    settle(add_administrator(database))
    return created


@pytest.fixture
def logins(database: Database, accounts: Accounts) -> Iterator[Logins]:
    created = Logins(database, accounts, Passwords(), record_event=Events.record, clock=Clock())
    yield created
    settle(created.stop())


@pytest.fixture
def imports(database: Database, accounts: Accounts) -> UserImports:
    return UserImports(database, record_event=Events.record)


@pytest.fixture
def admin(accounts: Accounts) -> Caller:
    return settle(accounts.user("admin"))


async def values(database: Database, statement: str, username: str = "olaf") -> Any:
    async with database.connection() as db:
        return tuple(await db.fetchrow(statement, username) or ())


async def test_a_password_of_maas_goes_on_and_its_hash_is_replaced(
    imports: UserImports, logins: Logins, database: Database, admin: Caller
) -> None:
    assert await imports.bring(admin, OLAF, is_new=True) == ()
    assert await values(database, _HASH) == (PASSWORD_HASH,)
    with pytest.raises(NotAuthenticated):
        await logins.verify("olaf", "wrong horse", address="10.0.0.1")
    assert await values(database, _HASH) == (PASSWORD_HASH,), "a wrong password replaces nothing"
    for _ in range(2):
        assert (await logins.verify("olaf", PASSWORD, address="10.0.0.1")).caller.username == "olaf"
        (stored,) = await values(database, _HASH)
        assert stored.startswith("$argon2id$")


async def test_a_hash_that_is_none_gives_no_password(
    imports: UserImports, logins: Logins, database: Database, admin: Caller
) -> None:
    await imports.bring(admin, ImportedUser(username="olaf", password_hash="!unusable"), is_new=True)  # noqa: S106
    assert await values(database, _HASH) == (None,)
    with pytest.raises(NotAuthenticated):
        await logins.verify("olaf", "!unusable", address="10.0.0.1")


async def test_an_api_key_of_maas_stays_valid(imports: UserImports, accounts: Accounts, admin: Caller) -> None:
    await imports.bring(admin, OLAF, is_new=True)
    caller = await accounts.authenticate(KEY.consumer_key, KEY.token_key, KEY.token_secret)
    assert (caller.username, caller.is_admin) == ("olaf", False)
    assert [one.name for one in await accounts.list_keys(caller)] == [KEY_NAME]
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate(KEY.consumer_key, KEY.token_key, "d" * 32)


async def test_a_second_import_of_a_user_changes_nothing(
    imports: UserImports, logins: Logins, database: Database, admin: Caller
) -> None:
    await imports.bring(admin, OLAF, is_new=True)
    await logins.verify("olaf", PASSWORD, address="10.0.0.1")
    before = await values(database, _HASH), await values(database, _ITS_KEYS)
    assert before[1] == (2, 1)
    assert await imports.bring(admin, OLAF, is_new=False) == ()
    assert (await values(database, _HASH), await values(database, _ITS_KEYS)) == before


async def test_a_new_user_whose_name_is_taken_by_now_gets_nobodys_account(
    imports: UserImports, database: Database, admin: Caller
) -> None:
    """Somebody may have made that user since the plan, and is not asked whether it is the same person."""
    before = await values(database, _ITS_KEYS, "admin")
    with pytest.raises(InvalidRequest):
        await imports.bring(admin, ImportedUser(username="admin", api_keys=(KEY,)), is_new=True)
    assert await values(database, _ITS_KEYS, "admin") == before


async def test_a_user_who_is_here_keeps_password_and_role(
    imports: UserImports, accounts: Accounts, logins: Logins, admin: Caller, database: Database
) -> None:
    await logins.set_password("admin", "vault-orbit-kettle-91")
    await imports.bring(
        admin,
        ImportedUser(username="admin", is_admin=False, password_hash=PASSWORD_HASH, api_keys=(KEY,)),
        is_new=False,
    )
    assert (await accounts.user("admin")).is_admin
    with pytest.raises(NotAuthenticated):
        await logins.verify("admin", PASSWORD, address="10.0.0.1")
    assert (await accounts.authenticate(KEY.consumer_key, KEY.token_key, KEY.token_secret)).username == "admin"


async def test_a_key_of_somebody_here_stays_theirs(imports: UserImports, accounts: Accounts, admin: Caller) -> None:
    await imports.bring(admin, OLAF, is_new=True)
    await imports.bring(admin, ImportedUser(username="eve", api_keys=(KEY,)), is_new=True)
    assert (await accounts.authenticate(KEY.consumer_key, KEY.token_key, KEY.token_secret)).username == "olaf"


async def test_ssh_keys_that_are_none_are_named(imports: UserImports, admin: Caller, database: Database) -> None:
    (problem,) = await imports.bring(
        admin, ImportedUser(username="olaf", ssh_keys=("ssh-dss AAAA old", *SSH_KEYS[ADMIN])), is_new=True
    )
    assert problem.startswith("An SSH key was left out: ")
    assert await values(database, _ITS_KEYS) == (2, 0)


async def test_more_ssh_keys_than_a_user_may_have_are_named(
    imports: UserImports, admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiond.accounts.imported.MAX_SSH_KEYS", 1)
    (problem,) = await imports.bring(admin, OLAF, is_new=True)
    assert problem.startswith("A user has at most 1 SSH keys: SHA256:")
    assert MAX_SSH_KEYS > 1


async def test_only_administrators_bring_users(imports: UserImports, admin: Caller, accounts: Accounts) -> None:
    await imports.bring(admin, OLAF, is_new=True)
    with pytest.raises(NotAllowed):
        await imports.bring(await accounts.user("olaf"), ImportedUser(username="eve", is_admin=True), is_new=True)
    for wrong in (ImportedUser(username="a b"), ImportedUser(username="eve", email="none")):
        with pytest.raises(InvalidRequest):
            await imports.bring(admin, wrong, is_new=True)
