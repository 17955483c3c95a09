"""Hashes and keys take no time in tests.

A hash of the product takes 64 MiB, and 0.1 s of a core that its thread gets only after the tests beside it. An RSA key
of 4,096 bits takes 0.4 s of a core.
"""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from regiond.accounts import passwords
from regiond.credentials import certificates

PRODUCT_HASHING, PRODUCT_KEY_BITS = passwords.HASHING, certificates.KEY_BITS
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

passwords.HASHING = passwords.Hashing(hasher=_CHEAP, no_password=_CHEAP.hash("of nobody"))
certificates.KEY_BITS = 2048  # less is refused by OpenSSL


@pytest.fixture
def product_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hashes and keys that the product makes, in this test."""
    monkeypatch.setattr(passwords, "HASHING", PRODUCT_HASHING)
    monkeypatch.setattr(certificates, "KEY_BITS", PRODUCT_KEY_BITS)
