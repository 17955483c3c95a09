"""Accounts: who holds a key, and the keys themselves."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from attrs import frozen

from common.errors import NotAllowed, NotAuthenticated, NotFound
from regiond.accounts import store
from regiond.accounts.model import ApiKey, ApiKeyView, Caller, check_key_name, secret_hash
from regiond.db.pool import Database
from regiond.events.service import Events

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADMIN = "admin"
REMEMBERED_S = 3.0
_REMEMBERED_KEYS = 10_000


@frozen
class _Remembered:
    caller: Caller
    token_key: str
    until: float


class Accounts:
    """A key that was good is good for three seconds more without asking the database.

    So a key deleted, or an account switched off, is refused at once by the process that did it and within three
    seconds by the others.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._remembered: dict[bytes, _Remembered] = {}

    async def authenticate(self, consumer_key: str, token_key: str, token_secret: str) -> Caller:
        """The account that holds the key. NotAuthenticated for any part that is wrong; NotAllowed when inactive."""
        known_as = hashlib.sha256(f"{consumer_key}\0{token_key}\0{token_secret}".encode(errors="replace")).digest()
        known = self._remembered.get(known_as)
        if known is not None and known.until > self._clock():
            return known.caller
        for part in (consumer_key, token_key, token_secret):
            if not (part.isascii() and part.isalnum()):  # NUL and the like are nothing to ask PostgreSQL about
                raise NotAuthenticated("Invalid API key.")
        async with self._database.connection() as db:
            found = await store.holder(db, consumer_key, token_key)
        if found is None or not hmac.compare_digest(found.token_secret_hash, secret_hash(token_secret)):
            raise NotAuthenticated("Invalid API key.")
        if not found.is_active:
            raise NotAllowed("User is not allowed access to this API.")
        self._remember(known_as, found.caller, token_key)
        return found.caller

    async def ensure_admin(self) -> str | None:
        """The text of the first key of the account `admin`, made with it when there is no account at all; else None.

        It cannot be had again: only a hash is kept. Of several processes that start at once, one gets it.
        """
        async with self._database.transaction() as db:
            account_id = await store.insert_first_admin(db, ADMIN)
            if account_id is None:
                return None
            admin = Caller(account_id=account_id, username=ADMIN, is_admin=True)
            text = await self._add_key(db, admin, "first start")
        log.info("admin_created", username=ADMIN)
        return text

    async def create_key(self, caller: Caller, name: str) -> str:
        """The text of a new key of the caller's own, which cannot be had again. InvalidRequest for a bad name."""
        name = check_key_name(name)
        async with self._database.transaction() as db:
            return await self._add_key(db, caller, name)

    async def delete_key(self, caller: Caller, token_key: str) -> None:
        """Remove one of the caller's own keys. Raises NotFound."""
        async with self._database.transaction() as db:
            if not await store.delete_key(db, caller.account_id, token_key):
                raise NotFound("You have no API key with that token key.")
            await Events.record(db, "api_key_deleted", f"{caller.username} deleted an API key.", caller=caller)
        self._forget(lambda known: known.token_key == token_key)

    async def list_keys(self, caller: Caller) -> tuple[ApiKeyView, ...]:
        async with self._database.connection() as db:
            return await store.list_keys(db, caller.account_id)

    async def users(self) -> tuple[Caller, ...]:
        """All accounts, by name."""
        async with self._database.connection() as db:
            return await store.list_users(db)

    async def user(self, username: str) -> Caller:
        """Raises NotFound."""
        async with self._database.connection() as db:
            found = None if not username.isprintable() else await store.user(db, username)
        if found is None:
            raise NotFound(f"There is no user {username!r}.")
        return found

    async def set_active(self, caller: Caller, username: str, *, active: bool) -> None:
        """Switch an account off or on; its keys stay. Admins only, and not for themselves. Raises NotFound."""
        caller.require_admin()
        if username == caller.username:
            raise NotAllowed("You cannot switch your own account off or on.")
        async with self._database.transaction() as db:
            if not await store.set_active(db, username, active=active):
                raise NotFound(f"There is no user {username!r}.")
            kind = "account_activated" if active else "account_deactivated"
            await Events.record(db, kind, f"{caller.username} switched {username} {'on' if active else 'off'}.")
        self._forget(lambda known: known.caller.username == username)

    async def _add_key(self, db: Db, caller: Caller, name: str) -> str:
        key = ApiKey.random()
        await store.insert_key(db, caller.account_id, name, key)
        message = f"{caller.username} made the API key {name!r}."
        await Events.record(db, "api_key_created", message, caller=caller)
        return str(key)

    def _remember(self, known_as: bytes, caller: Caller, token_key: str) -> None:
        if len(self._remembered) >= _REMEMBERED_KEYS:
            self._remembered.clear()
        until = self._clock() + REMEMBERED_S
        self._remembered[known_as] = _Remembered(caller, token_key, until)

    def _forget(self, which: Callable[[_Remembered], bool]) -> None:
        self._remembered = {hashed: known for hashed, known in self._remembered.items() if not which(known)}
