"""Tokens of forms: each answer has another one, all prove the same secret, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.accounts.csrf import SECRET_BYTES, csrf_secret, masked, proves

SECRET = csrf_secret("t" * 43)


def test_no_two_answers_have_the_same_token() -> None:
    tokens = [masked(SECRET) for _ in range(1000)]
    assert len(set(tokens)) == 1000
    assert all(proves(token, SECRET) for token in tokens)
    halves = {token[at : at + 2 * SECRET_BYTES] for token in tokens for at in (0, 2 * SECRET_BYTES)}
    assert len(halves) == 2000
    assert SECRET.hex() not in "".join(tokens)


def test_a_token_of_another_session_proves_nothing() -> None:
    assert not proves(masked(csrf_secret("u" * 43)), SECRET)


@pytest.mark.parametrize("given", [None, "", "0" * 128, SECRET.hex(), "zz", "é" * 128, "\ud800", " " * 128])
def test_other_texts_prove_nothing(given: str | None) -> None:
    assert not proves(given, SECRET)


@given(st.binary(min_size=64, max_size=64))
def test_random_bytes_prove_nothing(data: bytes) -> None:
    assert not proves(data.hex(), SECRET)


def test_one_changed_digit_makes_a_token_invalid() -> None:
    token = masked(SECRET)
    for at in range(len(token)):
        other = "0" if token[at] != "0" else "1"
        assert not proves(token[:at] + other + token[at + 1 :], SECRET)
