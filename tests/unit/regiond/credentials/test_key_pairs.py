"""TLS key pairs for LXD: generated ones, user-supplied ones and every reason to reject one; trust tokens."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.credentials.certificates import common_name, make_key_pair, read_key_pair, same_certificate
from regiond.credentials.model import KeyPair, read_trust_token, unusable_token

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
INSTALLATION = UUID("6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a")
FINGERPRINT = "ab" * 32


def small_pair(*, begins: datetime = NOW - timedelta(days=1), ends: datetime | None = None) -> KeyPair:
    """A user-supplied pair with an elliptic curve key, generated quickly. By default valid at NOW and today."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pair")])
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends or datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem=pem_of(key))


def pem_of(key: ec.EllipticCurvePrivateKey, phrase: bytes | None = None) -> str:
    sealed = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed).decode()


def rejected(certificate: str | None, key: str | None) -> dict[str, list[str]]:
    with pytest.raises(InvalidRequest) as caught:
        read_key_pair(certificate, key, NOW)
    return caught.value.fields


@pytest.mark.usefixtures("product_cryptography")
def test_a_generated_pair_has_the_reference_properties() -> None:
    pair = make_key_pair("hv-01", "region", INSTALLATION, NOW)
    certificate = pair.certificate
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert (public.key_size, type(certificate.signature_hash_algorithm)) == (4096, hashes.SHA512)
    assert certificate.subject.rfc4514_string() == "CN=hv-01@region"
    assert certificate.issuer.rfc4514_string() == f"OU={INSTALLATION},O=Innkeeper"
    assert pair.expires_at - NOW == timedelta(days=3650)
    assert certificate.not_valid_before_utc < NOW
    assert read_key_pair(pair.certificate_pem, pair.key_pem, NOW) is not None, "its key fits"
    assert pair.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    assert "PRIVATE" not in repr(pair)


@given(st.text(min_size=1, max_size=255), st.text(min_size=1, max_size=80))
def test_a_common_name_never_exceeds_64_characters(host: str, server: str) -> None:
    name = common_name(host, server)
    assert len(name) <= 64
    assert name.endswith(server[:64])


def test_without_a_host_name_the_common_name_is_the_server() -> None:
    assert common_name(None, "region") == "region"
    assert common_name("h" * 100, "region") == "h" * 57 + "@region"


def test_without_input_no_pair_is_imported() -> None:
    assert read_key_pair(None, None, NOW) is None


def test_a_valid_pair_of_any_key_type_is_accepted() -> None:
    pair = small_pair()
    imported = read_key_pair(f"\n{pair.certificate_pem}\n", pair.key_pem, NOW)
    assert imported is not None
    assert imported.imported
    assert same_certificate(imported.certificate_pem, pair.certificate_pem)


def test_each_invalid_pair_has_its_own_message() -> None:
    pair, other = small_pair(), small_pair()
    locked = pem_of(ec.generate_private_key(ec.SECP256R1()), b"phrase")
    late = small_pair(begins=NOW + timedelta(days=2), ends=NOW + timedelta(days=3))
    old = small_pair(begins=NOW - timedelta(days=3), ends=NOW - timedelta(days=2))
    not_pem = r"^Not a certificate in PEM format\.$"
    late_text = "valid only from 2026-11-22 09:00 UTC; now it is 2026-11-20"
    for certificate, key, field, text in (
        (pair.certificate_pem, None, "key", r"^A certificate requires its key: supply both or neither\.$"),
        (None, pair.key_pem, "certificate", r"^A key requires its certificate: supply both or neither\.$"),
        ("nonsense", pair.key_pem, "certificate", not_pem),
        (pair.certificate_pem.replace("MII", "xxx", 1), pair.key_pem, "certificate", not_pem),
        (pair.certificate_pem + other.certificate_pem, pair.key_pem, "certificate", "contains 2"),
        (pair.certificate_pem, "nonsense", "key", "Not a private key"),
        (pair.certificate_pem, locked, "key", "passphrase"),
        (pair.certificate_pem, other.key_pem, "key", "does not belong"),
        (late.certificate_pem, late.key_pem, "certificate", late_text),
        (old.certificate_pem, old.key_pem, "certificate", "certificate expired"),
    ):
        fields = rejected(certificate, key)
        assert next(iter(fields)) == field
        assert re.search(text, fields[field][0])


def token_text(**changes: object) -> str:
    whole = {"client_name": "c", "fingerprint": FINGERPRINT, "addresses": ["10.0.0.5:8443"], "secret": "s3cret"}
    return base64.b64encode(json.dumps({**whole, **changes}).encode()).decode()


def test_a_trust_token_yields_server_and_expiry_not_its_secret() -> None:
    token = read_trust_token(token_text(expires_at="2026-11-21T08:00:00.123456789Z"))
    assert token is not None
    assert (token.fingerprint, token.addresses) == (FINGERPRINT, ("10.0.0.5:8443",))
    assert token.expires_at == datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    assert "s3cret" not in repr(token)
    forever = read_trust_token(token_text(expires_at="0001-01-01T00:00:00Z"))
    assert forever is not None
    assert forever.expires_at is None


@pytest.mark.parametrize(
    "text",
    ["hunter2", "", "aGVsbG8=", base64.b64encode(b"[1]").decode(), base64.b64encode(b'{"secret": "x"}').decode()],
)
def test_a_text_that_is_no_token_is_a_password(text: str) -> None:
    assert read_trust_token(text) is None


@given(st.text())
def test_parsing_a_token_never_raises(text: str) -> None:
    read_trust_token(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "bearer token.* lxc config trust add"),
        (base64.b64encode(b'{"server_name": "m2", "fingerprint": "ab", "secret": "s"}').decode(), "join a cluster"),
        (token_text(), None),
        (base64.b64encode(b'{"type": "Client certificate (pending)", "client_name": "i"}').decode(), None),
        ("an old.trust.password", None),
        ("sesame", None),
    ],
)
def test_a_token_for_something_else_is_explained(text: str, said: str | None) -> None:
    found = unusable_token(text)
    assert (found is None) if said is None else (found is not None and re.search(said, found))
