"""Hashes of passwords that users bring from MAAS, as Django makes them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from regiond.accounts.passwords import Passwords, is_foreign_hash
from tests.maas_site.people import PASSWORD, PASSWORD_HASH
from tests.support.waiting import settle


def hash_of(password: str, *, iterations: int = 1000, salt: str = "salt", prefix: str = "pbkdf2_sha256") -> str:
    found = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    return f"{prefix}${iterations}${salt}${base64.b64encode(found).decode()}"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    created = Passwords()
    yield created
    settle(created.stop())


async def test_the_password_is_right_and_others_are_wrong(passwords: Passwords) -> None:
    assert await passwords.is_right(PASSWORD_HASH, PASSWORD)
    for wrong in ("", "correct horsE", f"{PASSWORD} ", "\ud800", PASSWORD_HASH):
        assert not await passwords.is_right(PASSWORD_HASH, wrong), wrong
    assert await passwords.is_right(hash_of("ünïcode", salt="s" * 22), "ünïcode")


@pytest.mark.parametrize(
    "stored",
    [
        "", "!", "!zJ3hGzUnusable", hash_of("x", prefix="pbkdf2_sha1"), hash_of("x", prefix="bcrypt_sha256"),
        "pbkdf2_sha256$5000001$salt$AAAA", "pbkdf2_sha256$0$salt$AAAA", "pbkdf2_sha256$-1$salt$AAAA",
        "pbkdf2_sha256$99999999$salt$AAAA", "pbkdf2_sha256$1000$$AAAA", "pbkdf2_sha256$1000$salt$",
        f"{PASSWORD_HASH}\n",
        "pbkdf2_sha256$1000$salt$A", f"pbkdf2_sha256$1000${'s' * 129}$AAAA", "pbkdf2_sha256$\u0661\u0660$salt$AAAA",
    ],
)  # fmt: skip
async def test_what_is_no_such_hash_opens_nothing(passwords: Passwords, stored: str) -> None:
    """Among them hashes of so many iterations that a login would keep a thread busy for minutes."""
    assert not is_foreign_hash(stored)
    assert not await passwords.is_right(stored, "x")


def test_hashes_of_maas_are_recognised_and_ours_are_not() -> None:
    assert is_foreign_hash(PASSWORD_HASH)
    assert not is_foreign_hash("$argon2id$v=19$m=65536,t=3,p=4$TndlQyB6VP626aXvsGpQWw$Mmx8")
