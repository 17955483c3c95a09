"""Key pairs for LXD: made here, or brought by a person and checked before anything is kept.

LXD compares certificates as they are and never asks who signed them, so ours name the installation as their issuer:
that tells an administrator of LXD whose they are. Fingerprints are SHA-256 over the DER form, in lower-case hex, as
`lxc config trust list` shows them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.certificates import fingerprint, load_certificate
from common.errors import InvalidRequest

KEY_BITS = 4096
LIFETIME = timedelta(days=3650)
ORGANISATION = "Innkeeper"
_CLOCK_SKEW = timedelta(days=1)  # valid for a machine whose clock is this much behind
_LONGEST_NAME = 64


@frozen(kw_only=True)
class KeyPair:
    """A client certificate and its private key, both PEM. `imported`: a person brought it."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    imported: bool = False

    @property
    def certificate(self) -> x509.Certificate:
        return load_certificate(self.certificate_pem)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def expires_at(self) -> datetime:
        return self.certificate.not_valid_after_utc


def make_key_pair(host_name: str | None, server_name: str, installation_id: UUID, now: datetime) -> KeyPair:
    """A new pair: RSA 4096, SHA-512, ten years. Takes up to seconds of one core: call it in a thread."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(installation_id)),
        ]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name(host_name, server_name))])
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA512())
    )
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def common_name(host_name: str | None, server_name: str) -> str:
    """`host@server` in at most 64 characters: the host's part is cut. Without a name, the server alone."""
    server = server_name[:_LONGEST_NAME] or "innkeeper"
    room = _LONGEST_NAME - len(server) - 1
    if not host_name or room < 1:
        return server
    return f"{host_name[:room]}@{server}"


def read_key_pair(certificate_pem: str | None, key_pem: str | None, now: datetime) -> KeyPair | None:
    """The pair that a person gave, or None when neither was.

    Raises InvalidRequest by field: one without the other, no PEM, a key with a pass phrase, a key for another
    certificate, a certificate that is not valid yet or not any more.
    """
    if certificate_pem is None and key_pem is None:
        return None
    if certificate_pem is None:
        raise _wrong("certificate", "A key was given without its certificate: give both, or neither.")
    if key_pem is None:
        raise _wrong("key", "A certificate was given without its key: give both, or neither.")
    certificate = _read_certificate(certificate_pem)
    key = _read_key(key_pem)
    if certificate.public_key() != key.public_key():
        raise _wrong("key", "The key does not fit the certificate.")
    _check_dates(certificate, now)
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        imported=True,
    )


def same_certificate(one_pem: str, other_pem: str) -> bool:
    """Whether both are the same certificate, however their lines are broken. What is no certificate is like none."""
    try:
        return fingerprint(load_certificate(one_pem)) == fingerprint(load_certificate(other_pem))
    except InvalidRequest:
        return False


def _read_certificate(pem: str) -> x509.Certificate:
    if "CERTIFICATE" not in pem:
        raise _wrong("certificate", "This is not a certificate in PEM form.")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise _wrong("certificate", "This is not a certificate in PEM form.") from error
    if len(found) != 1:
        raise _wrong("certificate", f"Give one certificate; this text holds {len(found)}.")
    return found[0]


def _read_key(pem: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise _wrong("key", "The key is protected by a pass phrase: take that off first.") from None
    except ValueError:
        raise _wrong("key", "This is not a private key in PEM form.") from None


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        raise _wrong("certificate", f"The certificate is valid from {begins} UTC on only; now is {now:%Y-%m-%d %H:%M}.")
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
        raise _wrong("certificate", f"The certificate has expired: it was valid until {ended} UTC.")


def _wrong(field_name: str, message: str) -> InvalidRequest:
    return InvalidRequest.of({field_name: [message]})
