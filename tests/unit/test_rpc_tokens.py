"""Join tokens and addresses as text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, TokenRefused
from common.rpc.peers import Address
from common.rpc.tokens import PREFIX, JoinToken, decode_token, encode_token

TOKEN = JoinToken(addresses=("region.example:5250", "[2001:db8::1]:5250"), authority_fingerprint="ab" * 32, secret="s")  # noqa: S106  # a test's


def packed(plain: Any) -> str:
    return PREFIX + base64.urlsafe_b64encode(json.dumps(plain).encode()).decode()


def test_a_token_is_one_word_that_says_the_same_again() -> None:
    text = encode_token(TOKEN)
    assert decode_token(text) == TOKEN
    assert text.replace("-", "").replace("_", "").isalnum()
    assert "secret" not in repr(TOKEN)


def test_line_breaks_that_a_terminal_put_in_are_no_harm() -> None:
    text = encode_token(TOKEN)
    assert decode_token(f"  {text[:40]}\n{text[40:]}\r\n") == TOKEN


@given(
    st.text(max_size=100) | st.binary(max_size=100).map(lambda data: PREFIX + base64.urlsafe_b64encode(data).decode())
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        decode_token(text)


@given(st.integers(len(PREFIX) + 20, len(encode_token(TOKEN)) - 1))
def test_a_token_cut_short_is_refused_without_repeating_it(length: int) -> None:
    text = encode_token(TOKEN)[:length]
    with pytest.raises(TokenRefused) as refused:
        decode_token(text)
    assert text[len(PREFIX) :] not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("addresses", [], "no address"),
        ("addresses", "region:5250", "no address"),
        ("addresses", ["region"], "no address"),
        ("addresses", ["region:0"], "port"),
        ("authority", "AB" * 32, "fingerprint"),
        ("authority", None, "fingerprint"),
        ("secret", "", "no secret"),
        ("secret", 5, "no secret"),
    ],
)
def test_a_token_with_a_bad_part_says_which(key: str, value: Any, told: str) -> None:
    plain = {"addresses": ["region:5250"], "authority": "ab" * 32, "secret": "s"}
    with pytest.raises(TokenRefused, match=told):
        decode_token(packed(plain | {key: value}))


def test_a_huge_token_is_refused() -> None:
    with pytest.raises(TokenRefused):
        decode_token(PREFIX + "A" * 100_000)


@pytest.mark.parametrize("text", ["127.0.0.1:5250", "region.example:1", "[::1]:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", ":1", "host", "host:", "host:0", "host:65536", "host:\uff11", "::1:5250"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Address.parse(text)
