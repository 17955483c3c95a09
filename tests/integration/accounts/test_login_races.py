"""The password or the account changes while a login with the old password waits for its hash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from attrs import frozen

from common.errors import InvalidRequest, NotAuthenticated
from regiond.accounts import store
from regiond.accounts.imported import UserImports
from regiond.accounts.logins import Logins
from regiond.accounts.model import WRONG, ImportedUser, UserChange
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import Sessions
from regiond.accounts.users import Users
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.quotas import service as quotas
from tests.integration.support.tables import lock_waiters
from tests.maas_site.people import PASSWORD as PASSWORD_OF_MAAS
from tests.maas_site.people import PASSWORD_HASH
from tests.support.administrators import add_administrator
from tests.support.waiting import eventually, settle

pytestmark = pytest.mark.database

OLD, NEW, THIRD = "vault-orbit-kettle-91", "lamp-river-copper-28", "stone-paper-violet-53"
HERE = "192.0.2.1"


class HeldPasswords(Passwords):
    """Verifies as always, but its answer arrives only when `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.verified, self.go = asyncio.Event(), asyncio.Event()

    async def is_right(self, stored_hash: str | None, password: str) -> bool:
        answer = await super().is_right(stored_hash, password)
        self.verified.set()
        await self.go.wait()
        return answer


@frozen
class Site:
    database: Database
    accounts: Accounts
    passwords: HeldPasswords
    held: Logins
    logins: Logins
    sessions: Sessions
    users: Users

    async def meanwhile(self, login: Awaitable[object], change: Callable[[], Awaitable[object]]) -> None:
        """Runs `change` after the password of `login` was verified and before the login goes on. Raises its error."""
        task = asyncio.ensure_future(login)
        await self.passwords.verified.wait()
        await change()
        self.passwords.go.set()
        await task

    async def made(self) -> tuple[int, int]:
        """Returns how many sessions and login keys there are."""
        async with self.database.connection() as db:
            return (
                await db.fetchval("select count(*) from web_session"),
                await db.fetchval("select count(*) from api_key where by_login"),
            )

    async def set_new(self) -> None:
        await self.logins.set_password("ann", NEW)

    async def deactivate(self) -> None:
        await self.users.update(await self.accounts.user("admin"), "ann", UserChange(is_active=False))

    async def delete(self) -> None:
        await self.users.delete(await self.accounts.user("admin"), "ann")


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    async def build() -> Site:
        await add_administrator(database)
        accounts, held_passwords, passwords = (
            Accounts(database, record_event=Events.record), HeldPasswords(), Passwords()
        )  # fmt: skip
        held = Logins(database, accounts, held_passwords, record_event=Events.record)
        logins = Logins(database, accounts, passwords, record_event=Events.record)
        async with database.connection() as db:
            await db.execute("insert into account (username, is_admin) values ('ann', false)")
        await logins.set_password("ann", OLD)
        return Site(
            database, accounts, held_passwords, held, logins,
            sessions=Sessions(database, held, record_event=Events.record),
            users=Users(database, accounts, passwords, record_event=Events.record, within_quota=quotas.within),
        )  # fmt: skip

    made = settle(build())
    yield made
    settle(made.held.stop())
    settle(made.logins.stop())


@pytest.mark.parametrize("change", [Site.set_new, Site.deactivate, Site.delete], ids=["password", "inactive", "gone"])
@pytest.mark.parametrize("is_session", [True, False], ids=["session", "key"])
async def test_a_login_with_the_old_password_makes_nothing(
    site: Site, change: Callable[[Site], Awaitable[None]], *, is_session: bool
) -> None:
    login: Awaitable[object] = (
        site.sessions.log_in("ann", OLD, address=HERE)
        if is_session
        else site.held.log_in("ann", OLD, key_name="", address=HERE)
    )
    with pytest.raises(NotAuthenticated) as error:
        await site.meanwhile(login, lambda: change(site))
    assert (error.value.message, error.value.details) == (WRONG, {"account": "ann"})
    assert await site.made() == (0, 0)


async def test_the_old_password_does_not_replace_the_new_one(site: Site) -> None:
    ann = await site.accounts.user("ann")
    with pytest.raises(InvalidRequest, match="not your password"):
        await site.meanwhile(site.held.change_password(ann, OLD, THIRD, address=HERE), site.set_new)
    assert (await site.logins.verify("ann", NEW, address=HERE)).caller == ann


async def test_another_login_that_replaces_a_hash_of_maas_does_not_end_this_one(site: Site) -> None:
    imports, admin = UserImports(site.database, record_event=Events.record), await site.accounts.user("admin")
    olaf = ImportedUser(username="olaf", password_hash=PASSWORD_HASH)
    await imports.bring(admin, olaf, is_new=True)

    async def log_in_first() -> None:
        await site.logins.log_in("olaf", PASSWORD_OF_MAAS, key_name="", address=HERE)

    await site.meanwhile(site.sessions.log_in("olaf", PASSWORD_OF_MAAS, address=HERE), log_in_first)
    assert await site.made() == (1, 1)


async def test_logins_and_a_change_at_the_same_time_do_not_deadlock(site: Site) -> None:
    site.passwords.go.set()
    logins: list[Awaitable[object]] = []
    for _ in range(2):  # more would be too many attempts
        logins.append(site.sessions.log_in("ann", OLD, address=HERE))
        logins.append(site.held.log_in("ann", OLD, key_name="", address=HERE))
    answers = await asyncio.gather(*logins, site.set_new(), return_exceptions=True)
    assert {type(one) for one in answers if isinstance(one, BaseException)} <= {NotAuthenticated}
    assert await site.made() == (0, 0), "logins that came before the change ended with it"


@pytest.mark.parametrize("other", ["change", "login"])
async def test_what_a_login_holds_is_waited_for(site: Site, other: str) -> None:
    """By a change, which ends what it makes, and by another login: both would raise a weaker lock, and deadlock."""
    login = await site.logins.verify("ann", OLD, address=HERE)

    async def hold() -> None:
        async with site.database.transaction() as db:
            await store.hold_login(db, login)

    async with site.database.transaction() as db:
        await store.hold_login(db, login)
        waiting = asyncio.create_task(site.set_new() if other == "change" else hold())
        await eventually(lambda: lock_waiters(site.database))
    await waiting
