"""Join tokens and addresses as text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import InvalidRequest, TokenRejected
from common.rpc.peers import Address
from common.rpc.tokens import PREFIX, JoinToken, decode_token, encode_token

TOKEN = JoinToken(addresses=("region.example:5250", "[2001:db8::1]:5250"), authority_fingerprint="ab" * 32, secret="s")  # noqa: S106  # not a secret


def packed(plain: Any) -> str:
    return PREFIX + base64.urlsafe_b64encode(json.dumps(plain).encode()).decode()


def test_a_token_is_one_word_that_decodes_to_itself() -> None:
    text = encode_token(TOKEN)
    assert decode_token(text) == TOKEN
    assert text.replace("-", "").replace("_", "").isalnum()
    assert "secret" not in repr(TOKEN)


def test_line_breaks_in_a_token_are_ignored() -> None:
    text = encode_token(TOKEN)
    assert decode_token(f"  {text[:40]}\n{text[40:]}\r\n") == TOKEN


@example(PREFIX + "A" * 100_000)
@given(
    st.text(max_size=100) | st.binary(max_size=100).map(lambda data: PREFIX + base64.urlsafe_b64encode(data).decode())
)
def test_any_other_text_is_rejected(text: str) -> None:
    with pytest.raises(TokenRejected):
        decode_token(text)


@given(st.integers(len(PREFIX) + 20, len(encode_token(TOKEN)) - 1))
def test_a_truncated_token_is_rejected_and_not_repeated(length: int) -> None:
    text = encode_token(TOKEN)[:length]
    with pytest.raises(TokenRejected) as rejected:
        decode_token(text)
    assert text[len(PREFIX) :] not in str(rejected.value)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("addresses", [], "no region address"),
        ("addresses", "region:5250", "no region address"),
        ("addresses", ["region"], "invalid region address"),
        ("addresses", ["region:0"], "port"),
        ("authority", "AB" * 32, "fingerprint"),
        ("authority", None, "fingerprint"),
        ("secret", "", "no secret"),
        ("secret", 5, "no secret"),
    ],
)
def test_an_invalid_part_of_a_token_is_named(key: str, value: Any, reason: str) -> None:
    plain = {"addresses": ["region:5250"], "authority": "ab" * 32, "secret": "s"}
    with pytest.raises(TokenRejected, match=reason):
        decode_token(packed(plain | {key: value}))


@pytest.mark.parametrize("text", ["127.0.0.1:5250", "region.example:1", "[::1]:65535"])
def test_an_address_formats_as_it_was_parsed(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", ":1", "host", "host:", "host:0", "host:65536", "host:\uff11", "::1:5250"])
def test_an_invalid_address_is_rejected(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Address.parse(text)
