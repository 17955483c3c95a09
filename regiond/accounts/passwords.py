"""Hashes and verifies passwords with Argon2id, in threads: each takes 64 MiB and about 0.1 s."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TypeVar

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import frozen

from common.errors import InvalidRequest
from regiond.accounts.model import MAX_PASSWORD

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MIN_LENGTH = 12
MAX_THREADS = 2
NICENESS = 10  # of these threads, added to the region's own: strangers can start them, and requests come first
_DJANGO = re.compile(r"pbkdf2_sha256\$([0-9]{1,8})\$([^$]{1,128})\$([A-Za-z0-9+/=]{1,128})", re.ASCII)
_MAX_ITERATIONS = 5_000_000  # some seconds
_COMMON = frozenset(resources.files("regiond.accounts").joinpath("common_passwords.txt").read_text("ascii").split())
_SHORTEST_NAME = 3
_FILLERS = "0123456789!?.,:;-_+*# "
_LOOK_ALIKES = str.maketrans("013457@$!", "oleastasi")

T = TypeVar("T")


@frozen(kw_only=True)
class Hashing:
    """A way to hash passwords.

    `no_password` is the hash of a random text with the same parameters: a login that has no hash takes as long as one
    with a wrong password.
    """

    hasher: PasswordHasher
    no_password: str


# The parameters of RFC 9106 for limited memory.
HASHING = Hashing(
    hasher=PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4),
    no_password="$argon2id$v=19$m=65536,t=3,p=4$TndlQyB6VP626aXvsGpQWw$Mmx8cEIUoZ53+Yntn10llwiXW7RbFNKh8zKJrUYZ52w",  # noqa: S106  # matches no password
)


class Passwords:
    """At most MAX_THREADS hashes are computed at a time; others wait. New passwords have at least `min_length`
    characters.
    """

    def __init__(self, *, min_length: int = MIN_LENGTH) -> None:
        self.require_length(min_length)
        self._threads = ThreadPoolExecutor(
            max_workers=MAX_THREADS, thread_name_prefix="password", initializer=_lower_priority
        )

    def require_length(self, min_length: int) -> None:
        """Sets how many characters a new password needs, at least MIN_LENGTH."""
        self._min_length = max(min_length, MIN_LENGTH)

    def check_new(self, password: str, *, field: str, username: str) -> None:
        """Raises InvalidRequest, for this field, if the password is short, long or easy to guess for this user."""
        problem = weakness(password, username=username, min_length=self._min_length)
        if problem is not None:
            raise InvalidRequest.of({field: [problem]})

    async def hashed(self, password: str) -> str:
        return await self._run(lambda: HASHING.hasher.hash(password))

    async def is_right(self, stored_hash: str | None, password: str) -> bool:
        """False, after the same time, if there is no hash."""
        matches = await self._run(lambda: _matches(stored_hash or HASHING.no_password, password))
        return matches and stored_hash is not None

    async def stop(self) -> None:
        """Ends the threads; hashes that wait are cancelled. Idempotent."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _lower_priority() -> None:
    """Leaves at most one core to this thread and those that compute lanes of a hash for it, after everything else.

    Where the system forbids that, logins work all the same.
    """
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
        os.sched_setaffinity(thread, {max(os.sched_getaffinity(thread))})
    except OSError as error:
        log.warning("password_threads_not_slowed", reason=str(error))


def weakness(password: str, *, username: str = "", min_length: int = MIN_LENGTH) -> str | None:
    """Returns why this is no good password of this user, None if it is one."""
    if len(password) < min_length:
        return f"Enter a password of at least {min_length} characters, not {len(password)}."
    if len(password) > MAX_PASSWORD:
        return f"Enter a password of at most {MAX_PASSWORD} characters, not {len(password)}."
    if _is_common(password.casefold()):
        return "The password is a common one, or a common word with digits or repeated. Use a random one."
    if any(name in password.casefold() for name in _names(username)):
        return "The password contains the user name, which others know. Use a random one."
    try:
        password.encode()
    except UnicodeEncodeError:
        return "The password is not valid Unicode text."
    return None


def _names(username: str) -> Iterator[str]:
    """The name, and of an address what stands before the @. A shorter one can be in any text by chance."""
    for name in {username.casefold(), username.casefold().partition("@")[0]}:
        if len(name) >= _SHORTEST_NAME:
            yield name


def _is_common(password: str) -> bool:
    """Whether common words, digits and punctuation make it up, or fewer than five different characters."""
    if len(set(password)) < 5:
        return True
    stem = password.strip(_FILLERS)
    return any(_is_made_of_common(one) for one in (password, stem, stem.translate(_LOOK_ALIKES)))


def _is_made_of_common(password: str) -> bool:
    letters = "".join(one for one in password if one.isalpha())
    return password in _COMMON or _is_repetition(letters) or not letters


def _is_repetition(letters: str) -> bool:
    """Whether the letters are one common word, once or repeated."""
    for length in range(1, len(letters) + 1):
        word, rest = letters[:length], len(letters) % length
        if not rest and word in _COMMON and word * (len(letters) // length) == letters:
            return True
    return False


def is_foreign_hash(stored_hash: str) -> bool:
    """Whether it is a hash as Django makes it (PBKDF2 with SHA-256), which users bring from MAAS."""
    return _foreign(stored_hash) is not None


def _foreign(stored_hash: str) -> tuple[int, bytes, bytes] | None:
    """Returns iterations, salt and hash."""
    found = _DJANGO.fullmatch(stored_hash)
    if found is None or not 0 < int(found[1]) <= _MAX_ITERATIONS:
        return None
    try:
        return int(found[1]), found[2].encode(), base64.b64decode(found[3], validate=True)
    except ValueError:
        return None


def _matches(stored_hash: str, password: str) -> bool:
    foreign = _foreign(stored_hash)
    if foreign is not None:
        iterations, salt, expected = foreign
        found = hashlib.pbkdf2_hmac("sha256", password.encode(errors="replace"), salt, iterations)
        return hmac.compare_digest(found, expected)
    try:
        return HASHING.hasher.verify(stored_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
