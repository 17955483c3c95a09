"""Generates TLS key pairs for LXD and SSH key pairs for libvirt, and validates supplied key pairs.

LXD compares whole certificates and ignores their issuer. The issuer of a generated certificate names the installation,
so that an LXD administrator can recognize it. Fingerprints are SHA-256 of the DER form in lower-case hex, as
`lxc config trust list` shows them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidRequest
from common.trust.certificates import UNREADABLE, fingerprint, load_certificate
from regiond.credentials.model import KeyPair, SshKeyPair

KEY_BITS = 4096
LIFETIME = timedelta(days=3650)
ORGANISATION = "Innkeeper"
_CLOCK_SKEW = timedelta(days=1)  # so that it is valid on a server whose clock is slow
_LONGEST_NAME = 64

_NOT_IN_COMMENTS = re.compile(r"[^A-Za-z0-9._-]+")


def make_key_pair(host_name: str | None, server_name: str, installation_id: UUID, now: datetime) -> KeyPair:
    """Generates a pair: RSA 4096, SHA-512, valid for ten years. Takes up to several seconds; call it in a thread."""
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
        key_pem=_pem_of(key),
    )


def common_name(host_name: str | None, server_name: str) -> str:
    """Returns `host@server`, cutting the host part to fit 64 characters; without a host name, the server."""
    server = server_name[:_LONGEST_NAME] or "innkeeper"
    space_left = _LONGEST_NAME - len(server) - 1
    if not host_name or space_left < 1:
        return server
    return f"{host_name[:space_left]}@{server}"


def read_key_pair(certificate_pem: str | None, key_pem: str | None, now: datetime) -> KeyPair | None:
    """Returns the key pair that a user supplied; None if neither part was supplied.

    Raises InvalidRequest, by field, if one part is missing or not PEM, if the key has a passphrase or belongs to
    another certificate, or if the certificate is not valid at `now`.
    """
    if certificate_pem is None and key_pem is None:
        return None
    if certificate_pem is None:
        raise _wrong("certificate", "A key requires its certificate: supply both or neither.")
    if key_pem is None:
        raise _wrong("key", "A certificate requires its key: supply both or neither.")
    certificate = _read_certificate(certificate_pem)
    key = _read_key(key_pem)
    if _public_key(certificate) != key.public_key():
        raise _wrong("key", "The key does not belong to the certificate.")
    _check_dates(certificate, now)
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key_pem=_pem_of(key),
        imported=True,
    )


def same_certificate(one_pem: str, other_pem: str) -> bool:
    """Returns whether both texts are the same certificate, whatever their line breaks. Invalid text equals nothing."""
    try:
        return fingerprint(load_certificate(one_pem)) == fingerprint(load_certificate(other_pem))
    except InvalidRequest:
        return False


def _pem_of(key: PrivateKeyTypes) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _read_certificate(pem: str) -> x509.Certificate:
    if "CERTIFICATE" not in pem:
        raise _wrong("certificate", "Not a certificate in PEM format.")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except UNREADABLE as error:
        raise _wrong("certificate", "Not a certificate in PEM format.") from error
    if len(found) != 1:
        raise _wrong("certificate", f"Supply one certificate; the text contains {len(found)}.")
    return found[0]


def _read_key(pem: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise _wrong("key", "The key is encrypted. Remove its passphrase first.") from None
    except UNREADABLE:
        raise _wrong("key", "Not a private key in PEM format, or of an unknown kind.") from None


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except UNREADABLE as error:
        raise _wrong("certificate", "The key in the certificate is damaged or of an unknown kind.") from error


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        raise _wrong("certificate", f"The certificate is valid only from {begins} UTC; now it is {now:%Y-%m-%d %H:%M}.")
    if now > certificate.not_valid_after_utc:
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
        raise _wrong("certificate", f"The certificate expired at {ended} UTC.")


def _wrong(field_name: str, message: str) -> InvalidRequest:
    return InvalidRequest.of({field_name: [message]})


def make_ssh_key_pair(host_name: str) -> SshKeyPair:
    """Generates an ed25519 pair with the comment `innkeeper-<host name>`, reduced to one word of safe characters."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    word = _NOT_IN_COMMENTS.sub("-", host_name)[:_LONGEST_NAME].strip("-") or "host"
    return SshKeyPair(
        private_pem=key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        public_line=f"{public} innkeeper-{word}",
    )
