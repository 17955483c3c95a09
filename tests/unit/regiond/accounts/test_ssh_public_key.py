"""Public SSH keys as users paste them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.accounts.ssh_public_key import parse_public_key

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBRHMsdJOmMlQ9ApBa8fDjhVAL+aiAcM3xsWtGXMTOrz"


def text_of(key: rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def rejection(text: str) -> str:
    with pytest.raises(InvalidRequest) as rejected:
        parse_public_key(text)
    ((field, (message,)),) = rejected.value.fields.items()
    assert field == "key"
    return message


def test_a_key_keeps_its_comment_and_has_the_fingerprint_of_ssh() -> None:
    found = parse_public_key(f"  {KEY}   Ann's  laptop \n")
    assert found.text == f"{KEY} Ann's  laptop"
    assert found.fingerprint.startswith("SHA256:")
    assert parse_public_key(KEY).fingerprint == found.fingerprint


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_elliptic_curve_and_long_rsa_keys_are_accepted(curve: ec.EllipticCurve) -> None:
    parse_public_key(text_of(ec.generate_private_key(curve).public_key()))
    parse_public_key(text_of(rsa.generate_private_key(65537, 2048).public_key()))
    parse_public_key(text_of(ed25519.Ed25519PrivateKey.generate().public_key()))


def test_short_and_outdated_keys_are_rejected() -> None:
    short = text_of(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505  # to be rejected
    assert "The RSA key has 1024 bits; use at least 2048" in rejection(short)
    assert "not accepted" in rejection(f"ssh-dss {KEY.split()[1]}")


@pytest.mark.parametrize(
    "text",
    [
        "", "ssh-ed25519", KEY[:-8], f"ssh-rsa {KEY.split()[1]}", f"{KEY}\n{KEY}", f"{KEY} a\0b", f"{KEY} {'x' * 256}",
        "-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-ed25519 not-base64!", f'command="sh" {KEY}',
    ],
)  # fmt: skip
def test_a_damaged_or_dangerous_line_is_rejected(text: str) -> None:
    assert "AAAA" not in rejection(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    for line in (text, f"ssh-ed25519 {text}", f"{KEY} {text}"):
        try:
            parse_public_key(line)
        except InvalidRequest:
            continue
