"""Sessions of the web pages: login, authentication, logout, and the list of a user's sessions.

The API never reads their cookies: a signed request cannot be sent by another site, a cookie can.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import structlog
from attrs import field, frozen

from common.errors import NotAuthenticated, NotFound
from regiond.accounts import session_store, store
from regiond.accounts.csrf import csrf_secret
from regiond.accounts.grants import RecordEvent, with_grants
from regiond.accounts.logins import Logins
from regiond.accounts.model import Session, SessionView
from regiond.db.pool import Database
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_PER_ACCOUNT = 100
MAX_USER_AGENT = 200
TOUCH_EVERY = timedelta(minutes=1)
ENDED = "The session has ended. Log in again."

_ID_BYTES, _RANDOM_BYTES = 4, 28


@frozen(kw_only=True)
class SessionPeriods:
    """When sessions end: `idle` after the last request, `lifetime` after the login."""

    idle: timedelta = timedelta(hours=1)
    lifetime: timedelta = timedelta(hours=12)


DEFAULT_PERIODS = SessionPeriods()


@frozen(kw_only=True)
class NewSession:
    """A login's result. `token` is for the cookie only."""

    token: str = field(repr=False)
    session: Session


class Sessions:
    def __init__(
        self,
        database: Database,
        logins: Logins,
        *,
        record_event: RecordEvent,
        periods: SessionPeriods = DEFAULT_PERIODS,
    ) -> None:
        self._database = database
        self._logins = logins
        self._record_event = record_event
        self._periods = periods

    @property
    def lifetime(self) -> timedelta:
        """The longest time that a session lasts, for its cookie."""
        return self._periods.lifetime

    async def log_in(
        self, username: str, password: str, *, address: str, user_agent: str = "", old_token: str | None = None
    ) -> NewSession:
        """Returns a new session, and ends the one that the browser had: nobody can prepare a token for a later login.

        Raises what `Logins.verify` raises. Of more than MAX_PER_ACCOUNT sessions, those not used for longest end.
        """
        login = await self._logins.verify(username, password, address=address)
        caller = login.caller
        token = new_token(caller.account_id)
        async with self._database.transaction() as db:
            await store.hold_login(db, login)
            if old_token is not None:
                await session_store.delete_by_token(db, token_hash(old_token))
            session_id = await session_store.insert(
                db, caller.account_id, token_hash(token),
                lifetime=self._periods.lifetime, idle=self._periods.idle,
                address=address, user_agent=_shortened(user_agent),
            )  # fmt: skip
            await session_store.delete_oldest(db, caller.account_id, keep=MAX_PER_ACCOUNT)
            await self._record_event(db, "logged_in", f"{caller.username} logged in from {address}.", caller=caller)
            caller = await with_grants(db, caller)
        return NewSession(token=token, session=_session(session_id, caller, token))

    async def find(self, token: str | None) -> Caller | None:
        """Returns whose session a cookie is, with its roles, without using the session; None if it has ended."""
        async with self._database.connection() as db:
            found = None if token is None else await session_store.read(db, token_hash(token))
            return None if found is None or not found.is_active else await with_grants(db, found.caller)

    async def authenticate(self, token: str | None, *, address: str, uses: bool = True) -> Session:
        """Returns the session of a cookie. Raises NotAuthenticated if there is none or it has ended.

        Every request asks the database, so that an ended session is rejected at once by every region. A page that
        refreshes itself does not use the session: it would never be idle.
        """
        if token is None:
            raise NotAuthenticated("Log in first.")
        every = min(TOUCH_EVERY, self._periods.idle / 10)
        async with self._database.connection() as db:
            found = await session_store.read(db, token_hash(token))
            if found is None or not found.is_active:
                raise NotAuthenticated(ENDED)
            if uses:
                await session_store.touch(db, found.session_id, idle=self._periods.idle, every=every, address=address)
            caller = await with_grants(db, found.caller)
        return _session(found.session_id, caller, token)

    async def log_out(self, token: str) -> None:
        """Ends the session. Idempotent."""
        async with self._database.transaction() as db:
            caller = await session_store.delete_by_token(db, token_hash(token))
            if caller is not None:
                await self._record_event(db, "logged_out", f"{caller.username} logged out.", caller=caller)

    async def list(self, caller: Caller, username: str | None = None) -> tuple[SessionView, ...]:
        """The caller's sessions; of another user for administrators only. The one used last comes first."""
        wanted = caller.username if username is None else username
        if wanted != caller.username:
            caller.require_admin()
        async with self._database.connection() as db:
            return await session_store.list_of(db, wanted) if wanted.isprintable() else ()

    async def end(self, caller: Caller, session_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Ends a session of the caller, or as an administrator of anyone. Raises NotFound, for those of others too."""
        async with self._database.transaction(dry_run=dry_run) as db:
            found = await session_store.one(db, session_id)
            if found is None or (found.username != caller.username and not caller.is_admin):
                raise NotFound(f"There is no session {session_id}.")
            await session_store.delete(db, session_id)
            message = f"{caller.username} ended a session of {found.username} at {found.address}."
            await self._record_event(db, "session_ended", message, caller=caller)
        record = AffectedRecord(kind="session", id=str(session_id), name=found.username)
        effects = (f"The browser at {found.address} has to log in again.",)
        return DeletionPlan(name=f"session {session_id}", deleted=(record,), effects=effects)


def _session(session_id: int, caller: Caller, token: str) -> Session:
    return Session(id=session_id, caller=caller, csrf_secret=csrf_secret(token))


def _shortened(user_agent: str) -> str:
    text = "".join(each if each.isprintable() else "?" for each in user_agent[:MAX_USER_AGENT])
    return text.encode("utf-8", "replace").decode()


def new_token(account_id: int) -> str:
    """Returns the value of a new cookie: 224 random bits, and the account, which outlives the session."""
    token = account_id.to_bytes(_ID_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
    return urlsafe_b64encode(token).decode().rstrip("=")


def account_of(token: str) -> int:
    """Returns whose session a cookie is or was. It proves nothing: who made up the cookie chose the account."""
    return int.from_bytes(urlsafe_b64decode(f"{token}=")[:_ID_BYTES], "big")


def token_hash(token: str) -> bytes:
    """Returns what the database stores. A token of 224 random bits needs neither salt nor key stretching."""
    return hashlib.sha256(token.encode()).digest()
