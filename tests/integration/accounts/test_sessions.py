"""Sessions of the web pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import frozen

from common.errors import NotAllowed, NotAuthenticated, NotFound
from innkeeper.http import Api, api_url
from regiond.accounts.logins import Logins
from regiond.accounts.model import UserChange
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import MAX_PER_ACCOUNT, MAX_USER_AGENT, NewSession, SessionPeriods, Sessions
from regiond.accounts.users import Users
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.housekeeping.retention import Retention, RetentionPeriods
from regiond.quotas import service as quotas
from regiond.requests.caller import Caller
from regiond.ui.serving.session_cookie import cookie_name
from tests.deployment.deployment import Deployment
from tests.support.administrators import add_administrator
from tests.support.waiting import settle

pytestmark = pytest.mark.database

PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
HERE = "192.0.2.1"


@frozen
class Site:
    database: Database
    accounts: Accounts
    logins: Logins
    users: Users
    sessions: Sessions

    async def log_in(self, username: str = "ann", **more: str) -> NewSession:
        return await self.sessions.log_in(username, PASSWORD, address=HERE, **more)

    async def age(self, interval: timedelta) -> None:
        """As if the time had passed since everything that was recorded."""
        async with self.database.connection() as db:
            await db.execute(
                "update web_session set last_seen_at = last_seen_at - $1::interval,"
                " expires_at = expires_at - $1::interval, idle_ends_at = idle_ends_at - $1::interval",
                interval,
            )

    async def is_valid(self, made: NewSession) -> bool:
        try:
            await self.sessions.authenticate(made.token, address=HERE)
        except NotAuthenticated:
            return False
        return True


@pytest.fixture
def site(database: Database) -> Site:
    accounts = Accounts(database, record_event=Events.record)
    passwords = Passwords()
    logins = Logins(database, accounts, passwords, record_event=Events.record)
    users = Users(database, accounts, passwords, record_event=Events.record, within_quota=quotas.within)
    periods = SessionPeriods(idle=timedelta(hours=1), lifetime=timedelta(hours=3))
    made = Site(
        database, accounts, logins, users, Sessions(database, logins, record_event=Events.record, periods=periods)
    )

    async def prepare() -> None:
        await add_administrator(database)
        async with database.connection() as db:
            await db.execute("insert into account (username, is_admin) values ('ann', false), ('bob', false)")
        for username in ("admin", "ann", "bob"):
            await logins.set_password(username, PASSWORD)

    settle(prepare())
    return made


async def _caller(site: Site, username: str) -> Caller:
    return await site.accounts.user(username)


async def test_a_login_makes_a_session_of_the_account(site: Site) -> None:
    made = await site.log_in(user_agent="Firefox\n" + "x" * 1000)
    found = await site.sessions.authenticate(made.token, address=HERE)
    assert (found.caller.username, found.csrf_secret) == ("ann", made.session.csrf_secret)
    (view,) = await site.sessions.list(found.caller)
    assert (view.address, view.user_agent[:9], len(view.user_agent)) == (HERE, "Firefox?x", MAX_USER_AGENT)


async def test_a_wrong_password_makes_no_session(site: Site) -> None:
    with pytest.raises(NotAuthenticated):
        await site.sessions.log_in("ann", "wrong", address=HERE)
    assert await site.sessions.list(await _caller(site, "ann")) == ()


async def test_a_login_ends_the_session_that_the_browser_had(site: Site) -> None:
    before = await site.log_in()
    after = await site.log_in(old_token=before.token)
    assert after.token != before.token
    assert not await site.is_valid(before)
    assert await site.is_valid(after)


async def test_a_token_that_a_stranger_prepared_is_never_used(site: Site) -> None:
    made = await site.log_in(old_token="A" * 43)
    assert made.token != "A" * 43
    with pytest.raises(NotAuthenticated):
        await site.sessions.authenticate("A" * 43, address=HERE)
    with pytest.raises(NotAuthenticated, match="Log in first"):
        await site.sessions.authenticate(None, address=HERE)


async def test_an_unused_session_ends(site: Site) -> None:
    made = await site.log_in()
    await site.age(timedelta(minutes=61))
    assert not await site.is_valid(made)


async def test_a_used_session_ends_after_its_lifetime(site: Site) -> None:
    made = await site.log_in()
    for _ in range(3):
        await site.age(timedelta(minutes=50))
        assert await site.is_valid(made)
    await site.age(timedelta(minutes=31))
    assert not await site.is_valid(made)


async def test_a_logout_ends_the_session_once(site: Site) -> None:
    made = await site.log_in()
    await site.sessions.log_out(made.token)
    await site.sessions.log_out(made.token)
    assert not await site.is_valid(made)
    kinds = [one.kind for one in await Events(site.database).list()]
    assert kinds[:2] == ["logged_out", "logged_in"]


async def test_a_new_password_and_a_deactivation_end_all_sessions(site: Site) -> None:
    first, of_bob = await site.log_in(), await site.log_in("bob")
    await site.logins.set_password("ann", PASSWORD + "x")
    assert not await site.is_valid(first)
    assert await site.is_valid(of_bob)
    await site.users.update(await _caller(site, "admin"), "bob", UserChange(is_active=False))
    assert not await site.is_valid(of_bob)
    await site.users.update(await _caller(site, "admin"), "bob", UserChange(is_active=True))
    assert not await site.is_valid(of_bob)


async def test_users_see_and_end_their_own_sessions_only(site: Site) -> None:
    of_ann, of_bob = await site.log_in(), await site.log_in("bob")
    ann, bob, admin = [await _caller(site, name) for name in ("ann", "bob", "admin")]
    assert [one.username for one in await site.sessions.list(ann)] == ["ann"]
    with pytest.raises(NotAllowed):
        await site.sessions.list(ann, "bob")
    with pytest.raises(NotFound):
        await site.sessions.end(ann, of_bob.session.id)
    assert await site.is_valid(of_bob)
    await site.sessions.end(bob, of_bob.session.id, dry_run=True)
    assert await site.is_valid(of_bob)
    await site.sessions.end(bob, of_bob.session.id)
    assert not await site.is_valid(of_bob)
    assert [one.username for one in await site.sessions.list(admin, "ann")] == ["ann"]
    await site.sessions.end(admin, of_ann.session.id)
    assert not await site.is_valid(of_ann)


async def test_each_session_has_its_own_csrf_token(site: Site) -> None:
    first, second = await site.log_in(), await site.log_in()
    first.session.check_csrf(first.session.new_csrf_token())
    for given in (second.session.new_csrf_token(), first.session.csrf_secret.hex(), "", None, first.token, "\ud800"):
        with pytest.raises(NotAllowed):
            first.session.check_csrf(given)


async def test_the_database_has_no_token(site: Site) -> None:
    made = await site.log_in()
    async with site.database.connection() as db:
        stored = repr(await db.fetch("select * from web_session")) + repr(await db.fetch("select * from event"))
    assert made.token not in stored
    assert made.session.csrf_secret.hex() not in stored
    assert made.token not in repr(made)


async def test_the_number_of_sessions_is_bounded(site: Site) -> None:
    first = await site.log_in()
    async with site.database.connection() as db:
        await db.execute(
            "insert into web_session (account_id, token_hash, expires_at, idle_ends_at, address, user_agent)"
            " select account_id, sha256(n::text::bytea), expires_at, idle_ends_at, address, user_agent"
            " from web_session, generate_series(1, $1) n",
            MAX_PER_ACCOUNT,
        )
    last = await site.log_in()
    assert len(await site.sessions.list(last.session.caller)) == MAX_PER_ACCOUNT
    assert not await site.is_valid(first)


async def test_ended_sessions_are_deleted(site: Site) -> None:
    await site.log_in()
    await site.age(timedelta(hours=2))
    kept = await site.log_in()
    assert (await Retention(site.database, RetentionPeriods()).prune())["sessions"] == 1
    assert await site.is_valid(kept)


async def test_the_api_ignores_cookies(innkeeper: Deployment) -> None:
    components = innkeeper.region.components
    logins = Logins(components.database, components.services.accounts, Passwords(), record_event=Events.record)
    sessions = Sessions(components.database, logins, record_event=Events.record)
    await logins.set_password("admin", PASSWORD)
    made = await sessions.log_in("admin", PASSWORD, address=HERE)
    unsigned = Api(api_url(innkeeper.region.api_url), None)
    for secure in (False, True):
        cookie = {"Cookie": f"{cookie_name(secure=secure)}={made.token}", "X-CSRF-Token": made.session.new_csrf_token()}
        with pytest.raises(NotAuthenticated):
            await unsigned.send("GET", "users/", query=[("op", "whoami")], headers=cookie)
    (shown,) = await innkeeper.get("account/sessions/")
    assert (shown["username"], shown["address"]) == ("admin", HERE)
    await innkeeper.api.send("DELETE", f"account/sessions/{shown['id']}/")
    with pytest.raises(NotAuthenticated):
        await sessions.authenticate(made.token, address=HERE)
