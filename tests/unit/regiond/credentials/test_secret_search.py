"""The search finds a leaked secret in every encoding and reports nothing public."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from common.trust.certificates import make_key
from regiond.credentials.certificates import make_ssh_key_pair
from tests.lab.support.secret_search import SecretSearch

RSA_KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
SSH_KEY = make_ssh_key_pair("west").private_pem
KEYS = pytest.mark.parametrize("pem", [make_key(), RSA_KEY, SSH_KEY], ids=["EC", "RSA", "SSH"])
LEAKS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "JSON": lambda pem: json.dumps({"key": pem}).encode(),
    "a form": lambda pem: quote(pem, safe="").encode(),
    "hex": lambda pem: pem.encode().hex().encode(),
    "base64": lambda pem: base64.b64encode(b"x" + pem.encode()),
    "base64 for URLs": lambda pem: base64.urlsafe_b64encode(b"xy" + pem.encode()),
    "DER": lambda pem: base64.b64decode("".join(pem.splitlines()[1:-1])),
}


def search_for(pem: str) -> SecretSearch:
    search = SecretSearch()
    search.add_key("key", pem)
    return search


@KEYS
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_key_is_found_in_every_encoding(pem: str, leak: Callable[[str], bytes]) -> None:
    assert search_for(pem).found_in(b"\x00 before " + leak(pem) + b" after") == {"key"}


def test_a_key_is_found_by_20_characters_of_one_line() -> None:
    line = RSA_KEY.splitlines()[12]
    assert search_for(RSA_KEY).found_in(f"…{line[17:37]}…".encode()) == {"key"}


@KEYS
def test_other_keys_and_the_public_key_are_not_reported(pem: str) -> None:
    load = load_ssh_private_key if pem == SSH_KEY else load_pem_private_key
    public = load(pem.encode(), None).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for before in range(3):
        assert search_for(pem).found_in(base64.b64encode(bytes(before) + der)) == set()
    assert search_for(pem).found_in(make_key().encode()) == set()


def test_a_text_is_found_inside_a_token_that_contains_it() -> None:
    search = SecretSearch()
    search.add_text("secret", "0123456789abcdef0123456789abcdef")
    token = base64.b64encode(json.dumps({"of": "host", "secret": "0123456789abcdef0123456789abcdef"}).encode())
    assert search.found_in(b"password=" + token) == {"secret"}
    assert search.found_in(b"password=0123456789abcdeg") == set()
