"""Hashes and verifies passwords with Argon2id, in threads: each takes 64 MiB and about 0.1 s."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from common.errors import InvalidRequest

MIN_LENGTH = 12
MAX_LENGTH = 1024
MAX_THREADS = 4
# The parameters of RFC 9106 for limited memory.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
# Of a random text, with the same parameters: a login that has no hash takes as long as one with a wrong password.
_NO_PASSWORD = "$argon2id$v=19$m=65536,t=3,p=4$TndlQyB6VP626aXvsGpQWw$Mmx8cEIUoZ53+Yntn10llwiXW7RbFNKh8zKJrUYZ52w"  # noqa: S105  # matches no password
_COMMON = (
    "password", "passw0rd", "123456789012", "1234567890", "qwertyuiop", "qwerty123456", "abcdefghijkl", "letmein",
    "administrator", "adminadmin", "iloveyou", "welcome", "changeme", "innkeeper", "changeit", "1q2w3e4r5t6y",
    "correcthorsebatterystaple", "trustno1",
)  # fmt: skip

T = TypeVar("T")


class Passwords:
    """At most four hashes are computed at a time; others wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=MAX_THREADS, thread_name_prefix="password")

    async def hashed(self, password: str) -> str:
        return await self._run(lambda: _HASHER.hash(password))

    async def is_right(self, stored_hash: str | None, password: str) -> bool:
        """False, after the same time, if there is no hash."""
        matches = await self._run(lambda: _matches(stored_hash or _NO_PASSWORD, password))
        return matches and stored_hash is not None

    async def stop(self) -> None:
        """Ends the threads; hashes that wait are cancelled. Idempotent."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def check_new_password(password: str) -> None:
    """Raises InvalidRequest for a password that is short, long, or easy to guess."""
    if len(password) < MIN_LENGTH:
        raise InvalidRequest(f"The password has {len(password)} characters; use at least {MIN_LENGTH}.")
    if len(password) > MAX_LENGTH:
        raise InvalidRequest(f"The password has {len(password)} characters; use at most {MAX_LENGTH}.")
    if _is_common(password.casefold()):
        raise InvalidRequest("The password is one of the most common ones, or a repetition. Use a random one.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The password is not valid Unicode text.") from None


def _is_common(password: str) -> bool:
    """Whether it is a common word, repeated or followed by digits, or has fewer than four different characters."""
    stem = password.rstrip("0123456789!.") or password
    repeated = any(password == word * (len(password) // len(word)) for word in _COMMON)
    return repeated or stem in _COMMON or password in _COMMON or len(set(password)) < 4


def _matches(stored_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
