"""Users: creation, changes, deletion, and what ends with them."""

from __future__ import annotations

import asyncio

import pytest
from attrs import frozen

from common.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound, WrongState
from regiond.accounts.logins import Logins
from regiond.accounts.model import ApiKey, NewUser, UserChange
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.ssh_keys import SshKeys
from regiond.accounts.users import Users
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.quotas import service as quotas
from regiond.requests.caller import Caller
from tests.support.administrators import add_administrator
from tests.support.waiting import settle

pytestmark = pytest.mark.database
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
OTHER_PASSWORD = "quiet-lantern-78-fjord"  # noqa: S105
HERE = "10.0.0.1"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBRHMsdJOmMlQ9ApBa8fDjhVAL+aiAcM3xsWtGXMTOrz ann@laptop"


@frozen(kw_only=True)
class Region:
    database: Database
    accounts: Accounts
    users: Users
    logins: Logins
    admin: Caller

    async def create(self, username: str, *, is_admin: bool = False) -> Caller:
        new = NewUser(username=username, password=PASSWORD, is_admin=is_admin)
        await self.users.create(self.admin, new)
        return await self.accounts.user(username)

    async def log_in(self, username: str, password: str = PASSWORD) -> ApiKey:
        return ApiKey.parse((await self.logins.log_in(username, password, key_name="", address=HERE))[1])

    async def authenticated(self, key: ApiKey) -> Caller:
        return await self.accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)

    async def is_valid(self, key: ApiKey) -> bool:
        try:
            await self.authenticated(key)
        except (NotAuthenticated, NotAllowed):
            return False
        return True

    async def own(self, owner: Caller) -> None:
        """Gives the user a machine that is named `quick-fox`."""
        async with self.database.connection() as db:
            await db.execute(
                """
                insert into machine (uuid, system_id, hostname, state, architecture, cores, memory_mib, owner_id)
                values (gen_random_uuid(), 'wdpx3n', 'quick-fox', 'allocated', 'amd64', 1, 1024, $1)
                """,
                owner.account_id,
            )

    async def owner(self) -> str | None:
        async with self.database.connection() as db:
            name: str | None = await db.fetchval("select username from machine m join account a on a.id = m.owner_id")
            return name


@pytest.fixture
def region(database: Database) -> Region:
    settle(add_administrator(database))
    accounts, passwords = Accounts(database, record_event=Events.record), Passwords()
    return Region(
        database=database,
        accounts=accounts,
        users=Users(database, accounts, passwords, record_event=Events.record, within_quota=quotas.within),
        logins=Logins(database, accounts, passwords, record_event=Events.record),
        admin=settle(accounts.user("admin")),
    )


async def test_a_created_user_logs_in_with_the_password(region: Region) -> None:
    created = await region.users.create(
        region.admin, NewUser(username="ann", email="ann@example.net", password=PASSWORD, is_admin=True)
    )
    assert (created.username, created.email, created.is_admin, created.has_password) == (
        "ann", "ann@example.net", True, True,
    )  # fmt: skip
    assert (await region.authenticated(await region.log_in("ann"))).is_admin
    assert [one.username for one in await region.users.list(caller=None)] == ["admin", "ann"]


async def test_an_ordinary_user_finds_only_the_own_account(region: Region) -> None:
    ann = await region.create("ann")
    await region.create("bob")
    assert [one.username for one in await region.users.list(caller=ann)] == ["ann"]
    assert (await region.users.read("ann", caller=ann)).id == ann.account_id
    refused = {}
    for name in ("bob", "nobody"):
        with pytest.raises(NotFound) as rejected:
            await region.users.read(name, caller=ann)
        refused[name] = str(rejected.value).replace(name, "NAME")
    assert refused["bob"] == refused["nobody"]
    assert [one.username for one in await region.users.list(caller=region.admin)] == ["admin", "ann", "bob"]
    assert (await region.users.read("bob", caller=region.admin)).username == "bob"


@pytest.mark.slow
async def test_a_user_with_a_wrong_field_is_not_created(region: Region) -> None:
    await region.create("ann")
    for field, new in {
        "username": NewUser(username="ann", password=PASSWORD),
        "password": NewUser(username="bob", password="qwertyuiop123"),  # noqa: S106  # weak
        "email": NewUser(username="bob", email="nowhere", password=PASSWORD),
    }.items():
        with pytest.raises(InvalidRequest) as rejected:
            await region.users.create(region.admin, new)
        assert list(rejected.value.fields) == [field]
    for name in ("", "a b", "-x", "a/b", "é", "x" * 151):
        with pytest.raises(InvalidRequest):
            await region.users.create(region.admin, NewUser(username=name, password=PASSWORD))
    with pytest.raises(NotAllowed):
        await region.users.create(await region.accounts.user("ann"), NewUser(username="bob", password=PASSWORD))


async def test_a_new_password_ends_logins_and_no_other_key(region: Region) -> None:
    ann = await region.create("ann")
    login = await region.log_in("ann")
    named = ApiKey.parse(await region.accounts.create_key(ann, "pipeline"))
    assert await region.is_valid(login)
    await region.users.update(region.admin, "ann", UserChange(password=OTHER_PASSWORD))
    assert not await region.is_valid(login)
    assert await region.is_valid(named)
    await region.log_in("ann", OTHER_PASSWORD)
    with pytest.raises(NotAuthenticated):
        await region.log_in("ann")


async def test_users_change_their_password_and_stay_logged_in(region: Region) -> None:
    await region.create("ann")
    here, elsewhere = await region.log_in("ann"), await region.log_in("ann")
    ann = await region.authenticated(here)
    with pytest.raises(InvalidRequest) as rejected:
        await region.logins.change_password(ann, "a wrong one", OTHER_PASSWORD, address=HERE)
    assert list(rejected.value.fields) == ["current_password"]
    await region.logins.change_password(ann, PASSWORD, OTHER_PASSWORD, address=HERE)
    assert await region.is_valid(here)
    assert not await region.is_valid(elsewhere)
    await region.log_in("ann", OTHER_PASSWORD)


async def test_a_deactivated_user_is_rejected_until_activated(region: Region) -> None:
    ann = await region.create("ann")
    named, login = ApiKey.parse(await region.accounts.create_key(ann, "pipeline")), await region.log_in("ann")
    await region.authenticated(named)
    await region.users.update(region.admin, "ann", UserChange(is_active=False))
    with pytest.raises(NotAllowed, match=r"User is not allowed access to this API\."):
        await region.authenticated(named)
    with pytest.raises(NotAuthenticated):
        await region.log_in("ann")
    await region.users.update(region.admin, "ann", UserChange(is_active=True))
    assert (await region.authenticated(named)).account_id == ann.account_id
    assert not await region.is_valid(login), "a deactivation ends logins"


async def test_the_last_active_administrator_stays(region: Region) -> None:
    ann = await region.create("ann", is_admin=True)
    await region.users.update(region.admin, "ann", UserChange(is_active=False))
    for change in (UserChange(is_admin=False), UserChange(is_active=False)):
        with pytest.raises(WrongState):
            await region.users.update(region.admin, "admin", change)
    with pytest.raises(WrongState, match="'admin' is the last active administrator and cannot be deleted"):
        await region.users.delete(ann, "admin")
    with pytest.raises(InvalidRequest, match="your own account"):
        await region.users.delete(region.admin, "admin")


async def test_two_administrators_cannot_remove_each_other(region: Region) -> None:
    ann = await region.create("ann", is_admin=True)
    results = await asyncio.gather(
        region.users.delete(ann, "admin"),
        region.users.update(region.admin, "ann", UserChange(is_admin=False)),
        return_exceptions=True,
    )
    left = [one.username for one in await region.users.list(caller=None) if one.is_admin]
    assert len(left) == 1
    assert sum(isinstance(one, WrongState | NotFound) for one in results) == 1


async def test_an_owner_of_machines_is_deleted_only_with_an_heir(region: Region) -> None:
    ann = await region.create("ann")
    await region.create("bob")
    await region.own(ann)
    with pytest.raises(InvalidRequest, match=r"owns 1 machine \(quick-fox\).*transfer_resources_to"):
        await region.users.delete(region.admin, "ann")
    for nobody in ("ann", "eve"):
        with pytest.raises(InvalidRequest) as rejected:
            await region.users.delete(region.admin, "ann", transfer_to=nobody)
        assert list(rejected.value.fields) == ["transfer_resources_to"]
    assert await region.owner() == "ann"
    await region.users.delete(region.admin, "ann", transfer_to="bob")
    assert await region.owner() == "bob"
    with pytest.raises(NotFound):
        await region.users.read("ann", caller=None)


async def test_a_dry_run_names_what_a_deletion_ends(region: Region) -> None:
    ann = await region.create("ann")
    await region.create("bob")
    await region.own(ann)
    key = ApiKey.parse(await region.accounts.create_key(ann, "pipeline"))
    await SshKeys(region.database, record_event=Events.record).add(ann, SSH_KEY)
    plan = await region.users.delete(region.admin, "ann", transfer_to="bob", dry_run=True)
    assert [(one.kind, one.name) for one in plan.deleted][:2] == [("user", "ann"), ("API key", "pipeline")]
    assert [one.kind for one in plan.deleted] == ["user", "API key", "SSH key"]
    assert [(one.kind, one.name) for one in plan.kept] == [("machine", "quick-fox")]
    assert await region.owner() == "ann"
    assert await region.is_valid(key)


async def test_a_deletion_ends_the_users_keys_at_once(region: Region) -> None:
    await region.create("ann")
    key = await region.log_in("ann")
    assert await region.is_valid(key)
    await region.users.delete(region.admin, "ann")
    assert not await region.is_valid(key)
    with pytest.raises(NotAuthenticated):
        await region.log_in("ann")


async def test_a_request_of_a_user_who_was_just_deleted_is_rejected(region: Region) -> None:
    ann = await region.create("ann")
    await region.users.delete(region.admin, "ann")
    with pytest.raises(NotAuthenticated, match="was just deleted"):
        await region.accounts.create_key(ann, "too late")
    with pytest.raises(NotAuthenticated, match="was just deleted"):
        await SshKeys(region.database, record_event=Events.record).add(ann, SSH_KEY)


@pytest.mark.slow
async def test_a_local_command_creates_only_the_first_administrator(database: Database) -> None:
    accounts = Accounts(database, record_event=Events.record)
    users = Users(database, accounts, Passwords(), record_event=Events.record, within_quota=quotas.within)
    results = await asyncio.gather(
        *(users.create_administrator(None, PASSWORD) for _ in range(3)), return_exceptions=True
    )
    assert results.count("admin") == 1
    assert sum(isinstance(one, WrongState) for one in results) == 2
    assert await users.create_administrator("ann", PASSWORD) == "ann"
    with pytest.raises(WrongState, match="There is a user 'ann' already"):
        await users.create_administrator("ann", OTHER_PASSWORD)
    assert [one.username for one in await users.list(caller=None) if one.is_admin] == ["admin", "ann"]


async def test_users_and_passwords_are_in_no_event(region: Region) -> None:
    await region.create("ann")
    await region.users.update(region.admin, "ann", UserChange(password=OTHER_PASSWORD, email="ann@example.net"))
    events = await Events(region.database).list()
    assert {"user_created", "password_set", "user_changed"} <= {one.kind for one in events}
    assert not any(secret in repr(events) for secret in (PASSWORD, OTHER_PASSWORD))
