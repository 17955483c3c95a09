"""Hashes of passwords take no time in tests: those of the product take 64 MiB, and 0.1 s of a core that threads of a
lower priority share with the tests beside them.
"""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from regiond.accounts import passwords

PRODUCT = passwords.HASHING
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

passwords.HASHING = passwords.Hashing(hasher=_CHEAP, no_password=_CHEAP.hash("of nobody"))


@pytest.fixture
def product_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hashes that the product makes, in this test."""
    monkeypatch.setattr(passwords, "HASHING", PRODUCT)
