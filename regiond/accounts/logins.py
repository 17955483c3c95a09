"""Verifies user names and passwords, changes passwords, and limits and records failures."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from common.addresses.ip_networks import NO_NETWORKS, IpNetworks, network_of
from common.errors import InvalidRequest, NotAuthenticated, TooManyAttempts
from common.rate_limit import RateLimiter
from regiond.accounts import store, user_store
from regiond.accounts.grants import RecordEvent
from regiond.accounts.login_limits import LoginLimits
from regiond.accounts.model import WRONG, Login, check_key_name
from regiond.accounts.passwords import Passwords, is_foreign_hash
from regiond.accounts.service import Accounts
from regiond.db.pool import Database
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

EVENT_EVERY_S = 60.0
MAX_VERIFYING = 100  # each waits for a thread, and takes 0.1 s of one
DEFAULT_KEY_NAME = "login"
LOGIN_KEYS = 10  # several terminals and programs of a computer can log in under one name
_MAX_SHOWN = 64


class Logins:
    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        passwords: Passwords,
        *,
        record_event: RecordEvent,
        exempt: IpNetworks = NO_NETWORKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._record_event = record_event
        self._passwords = passwords
        self._limits = LoginLimits(clock, exempt)
        self._events = RateLimiter(every_s=EVENT_EVERY_S, clock=clock)
        self._unrecorded = 0
        self._verifying = 0

    def change(self, *, exempt: IpNetworks, password_min_length: int) -> None:
        """Changes the addresses whose logins count only for their account, and the length of new passwords."""
        self._limits.exempt = exempt
        self._passwords.require_length(password_min_length)

    async def log_in(self, username: str, password: str, *, key_name: str, address: str) -> tuple[str, str]:
        """Returns the name and the text of a new API key. Older keys of that name stay valid, the newest `LOGIN_KEYS`.

        Raises what `verify` raises, and InvalidRequest.
        """
        name = check_key_name(key_name) or DEFAULT_KEY_NAME
        login = await self.verify(username, password, address=address)
        key = await self._accounts.create_key(login.caller, name, login=login)
        await self._accounts.delete_older_logins(login.caller, name, keep=LOGIN_KEYS)
        return name, key

    async def stop(self) -> None:
        """Waits for the hashes that are being computed and ends their threads. Idempotent."""
        await self._passwords.stop()

    async def change_password(self, caller: Caller, current: str, new: str, *, address: str) -> None:
        """Replaces the caller's own password; its other logins and its sessions end, other API keys stay valid.

        Raises InvalidRequest by field, also for a wrong current password; TooManyAttempts as `verify`.
        """
        self._passwords.check_new(new, field="password", username=caller.username)
        try:
            login = await self.verify(caller.username, current, address=address)
            await self._store(caller.account_id, caller.username, new, caller=caller, login=login)
        except NotAuthenticated:
            raise InvalidRequest.of({"current_password": ["This is not your password."]}) from None

    async def set_password(self, username: str, password: str) -> None:
        """Replaces the password; logins and sessions end, other API keys stay valid.

        Raises NotFound and InvalidRequest.
        """
        self._passwords.check_new(password, field="password", username=username)
        user = await self._accounts.user(username)
        await self._store(user.account_id, username, password, caller=None)

    async def verify(self, username: str, password: str, *, address: str) -> Login:
        """Returns the account with this name and password, and the hash that was right.

        Raises NotAuthenticated, the same and after the same time for an unknown name, a wrong password and an
        inactive account; TooManyAttempts before the delay after failed logins has passed, or while MAX_VERIFYING
        passwords are being verified. The `account` in the details, if there is one, is for the audit trail only.
        `store.hold_login` is the first statement of the transaction that stores what the login made.
        """
        if self._verifying >= MAX_VERIFYING:
            raise TooManyAttempts(f"{MAX_VERIFYING} logins are being verified. Try again in 5 s.", retry_after_s=5)
        self._verifying += 1
        try:
            return await self._verify(username, password, address)
        finally:
            self._verifying -= 1

    async def _verify(self, username: str, password: str, address: str) -> Login:
        attempt = self._limits.begin(address=address, username=username)
        found, verified = await self._checked(username, password)
        if found is None or verified is None:
            await self._record_failure(username, address)
            raise NotAuthenticated(WRONG, **({} if found is None else {"account": found.caller.username}))
        self._limits.succeed(attempt)
        return Login(caller=found.caller, password_hash=verified)

    async def _checked(self, username: str, password: str) -> tuple[store.PasswordOwner | None, str | None]:
        """Returns the account of that name, and the hash of its password; None: it is not right, or inactive."""
        async with self._database.connection() as db:
            found = await store.password_of(db, username if username.isprintable() else "")
        is_right = await self._passwords.is_right(found.password_hash if found else None, password)
        if found is None or not is_right or not found.is_active or found.password_hash is None:
            return found, None
        if not is_foreign_hash(found.password_hash):
            return found, found.password_hash
        rehashed = await self._rehashed(found.caller, found.password_hash, password)
        return (found, rehashed) if rehashed is not None else await self._checked(username, password)

    async def _rehashed(self, caller: Caller, foreign: str, password: str) -> str | None:
        """Replaces the hash that a user brought from MAAS, now that the password is known. Its logins go on.

        Returns None if another login has replaced it, or the password was changed.
        """
        hashed = await self._passwords.hashed(password)
        async with self._database.transaction() as db:
            return hashed if await store.rehash(db, caller.account_id, foreign, hashed) else None

    async def _store(
        self, account_id: int, username: str, password: str, *, caller: Caller | None, login: Login | None = None
    ) -> None:
        """Raises NotAuthenticated if the password of the `login` was changed since."""
        hashed = await self._passwords.hashed(password)
        async with self._database.transaction() as db:
            if login is not None:
                await store.hold_login(db, login)
            # Before the logins end: it waits for logins, and they for it.
            await store.set_password_hash(db, account_id, hashed)
            await user_store.end_logins(db, account_id, except_key=caller.api_key_id if caller else None)
            message = f"The password of {username!r} was set; its logins ended."
            await self._record_event(db, "password_set", message, caller=caller)
        self._accounts.forget_cached(account_id)

    async def _record_failure(self, username: str, address: str) -> None:
        """Records at most one event a minute for each address, with the number of failures since the last event."""
        self._unrecorded += 1
        shown = username[:_MAX_SHOWN]
        log.warning("login_failed", address=address, username=shown)
        if not self._events.allow(network_of(address)):
            return
        number, self._unrecorded = self._unrecorded, 0
        text = f"A login as {shown!r} from {address} failed."
        if number > 1:
            text = f"{number} logins failed, the last as {shown!r} from {address}."
        async with self._database.transaction() as db:
            await self._record_event(db, "login_failed", text)
