"""Authenticates by API key, and creates, renames, lists and deletes the keys of an account."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog
from attrs import evolve, field, frozen

from common.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound, Unsupported
from regiond.accounts import store, user_store
from regiond.accounts.grants import RecordEvent, with_grants
from regiond.accounts.model import MAX_KEYS, ApiKey, ApiKeyView, Login, SignatureMethod, check_key_name, secret_hash
from regiond.db.pool import Database, Db
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CACHE_S = 3.0
_MAX_CACHED_KEYS = 10_000
# The secret is not known, so nothing can be verified: who names the key learns only which method it is for.
_NOT_FOR_SIGNATURES = (
    "This API key is for PLAINTEXT, and the request is signed with HMAC-SHA1, which needs a key that was made for it: "
    "innkeeper account create-authorisation-token signature_method=HMAC-SHA1"
)


class KeySecrets(Protocol):
    """Encrypts the secrets of API keys with which the region computes signatures itself."""

    def seal(self, token_key: str, secret: str) -> bytes: ...
    def unseal(self, token_key: str, sealed: bytes) -> str: ...


class NoKeySecrets:
    """The secrets of commands, which do not open the master key: such keys can neither be made nor used."""

    def seal(self, token_key: str, secret: str) -> bytes:
        raise Unsupported("API keys for HMAC-SHA1 are made by a running region: create one through its API.")

    def unseal(self, token_key: str, sealed: bytes) -> str:
        raise Unsupported("API keys for HMAC-SHA1 are verified by a running region.")


async def active_user(db: Db, username: str) -> Caller | None:
    """Returns the account without its roles; None if it does not exist or is disabled."""
    found = await store.user(db, username)
    return None if found is None else await store.still(db, found.account_id, None)


@frozen
class _CachedCaller:
    caller: Caller
    token_key: str
    until: float
    token_secret: str | None = field(default=None, repr=False)  # of a key for HMAC-SHA1


class Accounts:
    """Caches an authenticated key for three seconds.

    The process that deletes a key, changes an account or revokes a role applies it at once, other processes within
    three seconds. So does the expiry of a key.
    """

    def __init__(
        self,
        database: Database,
        *,
        record_event: RecordEvent,
        secrets: KeySecrets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._secrets = secrets or NoKeySecrets()
        self._record_event = record_event
        self._clock = clock
        self._cache: dict[bytes, _CachedCaller] = {}
        self._used: set[int] = set()
        self._drops = 0

    async def authenticate(self, consumer_key: str, token_key: str, token_secret: str) -> Caller:
        """Returns the account of the key. Raises NotAuthenticated if a part is wrong, NotAllowed if it is inactive."""
        _check_parts(consumer_key, token_key, token_secret)
        cache_key = _cache_key(SignatureMethod.PLAINTEXT, consumer_key, token_key, token_secret)
        cached = self._cache.get(cache_key)
        if cached is not None and cached.token_secret is None and cached.until > self._clock():
            return cached.caller
        drops, found = self._drops, await self._owner(consumer_key, token_key)
        expected = None if found is None else found.token_secret_hash
        if found is None or expected is None or not hmac.compare_digest(expected, secret_hash(token_secret)):
            raise NotAuthenticated("Invalid API key.")
        return self._admitted(found, _CachedCaller(found.caller, token_key, self._until()), cache_key, drops)

    async def authenticate_signed(self, consumer_key: str, token_key: str, verify: Callable[[str], bool]) -> Caller:
        """Returns the account of a key for HMAC-SHA1 if `verify` accepts its secret. Raises like `authenticate`.

        An unknown key is answered like a wrong signature.
        """
        _check_parts(consumer_key, token_key)
        cache_key = _cache_key(SignatureMethod.HMAC_SHA1, consumer_key, token_key)
        cached = self._cache.get(cache_key)
        if cached is not None and cached.token_secret is not None and cached.until > self._clock():
            if not verify(cached.token_secret):
                raise NotAuthenticated("Invalid API key.")
            return cached.caller
        drops, found = self._drops, await self._owner(consumer_key, token_key)
        sealed = None if found is None else found.sealed_token_secret
        secret = None if sealed is None else self._secrets.unseal(token_key, sealed)
        is_right = verify(secret or "")  # computed for an unknown key too: its answer takes as long
        if found is not None and secret is None:
            raise NotAuthenticated(_NOT_FOR_SIGNATURES)
        if found is None or secret is None or not is_right:
            raise NotAuthenticated("Invalid API key.")
        checked = _CachedCaller(found.caller, token_key, self._until(), secret)
        return self._admitted(found, checked, cache_key, drops)

    async def named(self, consumer_key: str, token_key: str) -> Caller:
        """Returns the account of a key for HMAC-SHA1 that a request names, without proof: nothing is remembered of it.

        Raises like `authenticate`.
        """
        _check_parts(consumer_key, token_key)
        found = await self._owner(consumer_key, token_key)
        if found is None or found.sealed_token_secret is None:
            raise NotAuthenticated("Invalid API key.")
        _check_usable(found)
        return found.caller

    async def _owner(self, consumer_key: str, token_key: str) -> store.KeyOwner | None:
        async with self._database.connection() as db:
            found = await store.owner_of_key(db, consumer_key, token_key)
            return None if found is None else evolve(found, caller=await with_grants(db, found.caller))

    def _admitted(self, found: store.KeyOwner, checked: _CachedCaller, cache_key: bytes, drops: int) -> Caller:
        """Returns the caller, whose secret was right. Raises NotAuthenticated for an expired key, NotAllowed."""
        _check_usable(found)
        if found.caller.api_key_id is not None:
            self._used.add(found.caller.api_key_id)
        if drops == self._drops:  # otherwise what was read may have been revoked since
            self._remember(cache_key, checked)
        return found.caller

    async def still(self, caller: Caller) -> Caller | None:
        """Returns a caller that has been authenticated, with the roles that it has now; for what lasts longer.

        None if its key was deleted or has expired, or if the account was deleted or disabled.
        """
        async with self._database.connection() as db:
            found = await store.still(db, caller.account_id, caller.api_key_id)
            current = None if found is None else await with_grants(db, found)
        if current is not None and current.api_key_id is not None:
            self._used.add(current.api_key_id)
        return current

    async def current_caller(self, account_id: int) -> Caller | None:
        """Returns the account with the roles that it has now; None if it was deleted or disabled."""
        async with self._database.connection() as db:
            found = await store.still(db, account_id, None)
            return None if found is None else await with_grants(db, found)

    async def write_key_use(self) -> None:
        """Writes when keys were used since the last call. A region calls it once a minute, not each request."""
        used, self._used = self._used, set()
        if not used:
            return
        async with self._database.connection() as db:
            await store.write_use(db, used)

    async def create_key(
        self,
        caller: Caller,
        name: str,
        *,
        lifetime: timedelta | None = None,
        login: Login | None = None,
        method: SignatureMethod = SignatureMethod.PLAINTEXT,
    ) -> str:
        """Creates a key for the caller and returns its text, which cannot be read again. Raises InvalidRequest.

        A key that is created with a key expires no later than that one. A user has at most MAX_KEYS keys: another
        `login` then replaces the one that was used the longest ago; it raises NotAuthenticated if its password is no
        longer valid.
        """
        name = check_key_name(name)
        key = ApiKey.random()
        sealed = self._secrets.seal(key.token_key, key.token_secret) if method is SignatureMethod.HMAC_SHA1 else None
        async with self._database.transaction() as db:
            if login is not None:
                await store.hold_login(db, login)
            if await store.count_keys(db, caller.account_id) >= MAX_KEYS and not (
                login is not None and await store.delete_oldest_login(db, caller.account_id)
            ):
                raise InvalidRequest(
                    f"{caller.username} has {MAX_KEYS} API keys, the most that a user can have. Delete one first: "
                    "account delete-authorisation-token token_key=KEY"
                )
            expires_by = None
            if caller.api_key_id is not None:
                expires_by = await store.end_of_valid_key(db, caller.account_id, caller.api_key_id)
            await store.insert_key(
                db, caller.account_id, name, key,
                sealed=sealed, by_login=login is not None, lifetime=lifetime, expires_by=expires_by,
            )  # fmt: skip
            message = f"{caller.username} created the API key {name!r}."
            await self._record_event(db, "api_key_created", message, caller=caller)
        return str(key)

    async def rename_key(self, caller: Caller, token_key: str, name: str) -> ApiKeyView:
        """Renames a key of the caller. Raises NotFound and InvalidRequest."""
        name = check_key_name(name)
        async with self._database.transaction() as db:
            renamed = await store.rename_key(db, caller.account_id, token_key, name)
        if renamed is None:
            raise NotFound("You have no API key with this token key.")
        return renamed

    async def delete_older_logins(self, caller: Caller, name: str, *, keep: int) -> None:
        """Deletes the caller's login keys of that name except the newest `keep` and those with RPC clients."""
        async with self._database.transaction() as db:
            deleted = await store.delete_older_logins(db, caller.account_id, name, keep=keep)
            for _ in deleted:
                message = f"The oldest API key {name!r} of {caller.username} was deleted: {keep} newer logins have one."
                await self._record_event(db, "api_key_deleted", message, caller=caller)
        self._drop_cached(lambda cached: cached.token_key in deleted)

    async def delete_key(self, caller: Caller, token_key: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes a key of the caller with the RPC clients that it issued, whose links end. Raises NotFound."""
        async with self._database.transaction(dry_run=dry_run) as db:
            keys = {key.token_key: key for key in await store.list_keys(db, caller.account_id)}
            clients = await store.clients_of_key(db, caller.account_id, token_key)
            if not await store.delete_key(db, caller.account_id, token_key):
                raise NotFound("You have no API key with this token key.")
            await self._record_event(db, "api_key_deleted", f"{caller.username} deleted an API key.", caller=caller)
        self._drop_cached(lambda cached: cached.token_key == token_key)
        name = keys[token_key].name or token_key
        effects = ["Requests signed with it are rejected from then on."]
        if clients:
            effects.append("RPC clients that it issued are disconnected at once, and their certificates rejected.")
        return DeletionPlan(
            name=name,
            deleted=(AffectedRecord(kind="API key", id=token_key, name=name), *clients),
            effects=tuple(effects),
        )

    async def list_keys(self, caller: Caller) -> tuple[ApiKeyView, ...]:
        async with self._database.connection() as db:
            return await store.list_keys(db, caller.account_id)

    async def user(self, username: str) -> Caller:
        """Raises NotFound."""
        async with self._database.connection() as db:
            found = None if not username.isprintable() else await store.user(db, username)
        if found is None:
            raise NotFound(f"There is no user {username!r}.")
        return found

    async def first_administrator(self) -> Caller | None:
        """Returns the oldest active administrator, None if there is none."""
        async with self._database.connection() as db:
            username = await user_store.first_administrator(db)
            return None if username is None else await store.user(db, username)

    def forget_cached(self, account_id: int) -> None:
        """Reads the account, its keys and its roles again at the next request."""
        self._drop_cached(lambda cached: cached.caller.account_id == account_id)

    def _until(self) -> float:
        return self._clock() + CACHE_S

    def _remember(self, cache_key: bytes, checked: _CachedCaller) -> None:
        if len(self._cache) >= _MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[cache_key] = checked

    def _drop_cached(self, which: Callable[[_CachedCaller], bool]) -> None:
        self._drops += 1
        self._cache = {key: cached for key, cached in self._cache.items() if not which(cached)}


def _cache_key(method: SignatureMethod, *parts: str) -> bytes:
    """The parts have no NUL, so no two lists of them are equal here; nor are those of two methods."""
    return hashlib.sha256("\0".join((method.value, *parts)).encode()).digest()


def _check_usable(found: store.KeyOwner) -> None:
    """Raises NotAuthenticated for an expired key, NotAllowed for an inactive account."""
    if found.is_expired:
        raise NotAuthenticated(f"This API key expired on {found.expires_at:%Y-%m-%d %H:%M} UTC. Use another key.")
    if not found.is_active:
        raise NotAllowed("User is not allowed access to this API.")


def _check_parts(*parts: str) -> None:
    """Raises NotAuthenticated for what no key contains; PostgreSQL rejects NUL in text."""
    if not all(part.isascii() and part.isalnum() for part in parts):
        raise NotAuthenticated("Invalid API key.")
