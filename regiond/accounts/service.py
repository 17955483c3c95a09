"""Authenticates and manages API keys; activates and deactivates accounts."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog
from attrs import frozen

from common.errors import NotAllowed, NotAuthenticated, NotFound
from regiond.accounts import session_store, store
from regiond.accounts.model import ApiKey, ApiKeyView, check_key_name, secret_hash
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.deletion_plan import AffectedRecord, DeletionPlan

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADMIN = "admin"
CACHE_S = 3.0
_MAX_CACHED_KEYS = 10_000


class RecordEvent(Protocol):
    """Records one event in the caller's transaction; wiring passes the function of `events`."""

    async def __call__(self, db: Db, kind: str, message: str, *, caller: Caller | None = None) -> object: ...


@frozen
class _CachedCaller:
    caller: Caller
    token_key: str
    until: float


class Accounts:
    """Caches an authenticated key for three seconds.

    The process that deletes a key or deactivates an account rejects it at once, other processes within three seconds.
    """

    def __init__(
        self, database: Database, *, record_event: RecordEvent, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._record_event = record_event
        self._clock = clock
        self._cache: dict[bytes, _CachedCaller] = {}

    async def authenticate(self, consumer_key: str, token_key: str, token_secret: str) -> Caller:
        """Returns the account of the key. Raises NotAuthenticated if a part is wrong, NotAllowed if it is inactive."""
        cache_key = hashlib.sha256(f"{consumer_key}\0{token_key}\0{token_secret}".encode(errors="replace")).digest()
        cached = self._cache.get(cache_key)
        if cached is not None and cached.until > self._clock():
            return cached.caller
        for part in (consumer_key, token_key, token_secret):
            if not (part.isascii() and part.isalnum()):  # PostgreSQL rejects NUL in text
                raise NotAuthenticated("Invalid API key.")
        async with self._database.connection() as db:
            found = await store.owner_of_key(db, consumer_key, token_key)
        if found is None or not hmac.compare_digest(found.token_secret_hash, secret_hash(token_secret)):
            raise NotAuthenticated("Invalid API key.")
        if not found.is_active:
            raise NotAllowed("User is not allowed access to this API.")
        self._remember(cache_key, found.caller, token_key)
        return found.caller

    async def ensure_admin(self) -> str | None:
        """Creates the account `admin` and returns its first key as text, if there is no account yet; otherwise None.

        The key cannot be read again. If several processes start at the same time, one of them receives it.
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
        """Creates a key for the caller and returns its text, which cannot be read again. Raises InvalidRequest."""
        name = check_key_name(name)
        async with self._database.transaction() as db:
            return await self._add_key(db, caller, name)

    async def delete_older_keys(self, caller: Caller, name: str, *, keep: int) -> None:
        """Deletes all but the caller's newest `keep` keys of that name. Idempotent."""
        async with self._database.transaction() as db:
            deleted = await store.delete_older_keys(db, caller.account_id, name, keep=keep)
            for _ in deleted:
                message = f"The oldest API key {name!r} of {caller.username} was deleted: {keep} newer logins have one."
                await self._record_event(db, "api_key_deleted", message, caller=caller)
        self._drop_cached(lambda cached: cached.token_key in deleted)

    async def delete_key(self, caller: Caller, token_key: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes a key of the caller. Raises NotFound."""
        async with self._database.transaction(dry_run=dry_run) as db:
            keys = {key.token_key: key for key in await store.list_keys(db, caller.account_id)}
            if not await store.delete_key(db, caller.account_id, token_key):
                raise NotFound("You have no API key with this token key.")
            await self._record_event(db, "api_key_deleted", f"{caller.username} deleted an API key.", caller=caller)
        self._drop_cached(lambda cached: cached.token_key == token_key)
        name = keys[token_key].name or token_key
        return DeletionPlan(
            name=name,
            deleted=(AffectedRecord(kind="API key", id=token_key, name=name),),
            effects=("Requests signed with it are rejected from then on.",),
        )

    async def list_keys(self, caller: Caller) -> tuple[ApiKeyView, ...]:
        async with self._database.connection() as db:
            return await store.list_keys(db, caller.account_id)

    async def users(self) -> tuple[Caller, ...]:
        """Returns all accounts by name."""
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
        """Deactivates another account, which ends its sessions, or activates it; its keys are retained.

        Administrators only. Raises NotFound.
        """
        caller.require_admin()
        if username == caller.username:
            raise NotAllowed("You cannot deactivate or activate your own account.")
        async with self._database.transaction() as db:
            if not await store.set_active(db, username, active=active):
                raise NotFound(f"There is no user {username!r}.")
            if not active:
                await session_store.delete_of_account(db, username)
            kind = "account_activated" if active else "account_deactivated"
            await self._record_event(
                db, kind, f"{caller.username} {'activated' if active else 'deactivated'} {username}."
            )
        self._drop_cached(lambda cached: cached.caller.username == username)

    async def _add_key(self, db: Db, caller: Caller, name: str) -> str:
        key = ApiKey.random()
        await store.insert_key(db, caller.account_id, name, key)
        message = f"{caller.username} created the API key {name!r}."
        await self._record_event(db, "api_key_created", message, caller=caller)
        return str(key)

    def _remember(self, cache_key: bytes, caller: Caller, token_key: str) -> None:
        if len(self._cache) >= _MAX_CACHED_KEYS:
            self._cache.clear()
        until = self._clock() + CACHE_S
        self._cache[cache_key] = _CachedCaller(caller, token_key, until)

    def _drop_cached(self, which: Callable[[_CachedCaller], bool]) -> None:
        self._cache = {key: cached for key, cached in self._cache.items() if not which(cached)}
