"""Certificates with names, usages or lifetimes that the authority never signs, signed with its key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.trust.certificates import load_certificate, load_key


def odd_certificate(
    authority_key_pem: str,
    authority_pem: str,
    *,
    names: Sequence[str],
    usages: Sequence[x509.ObjectIdentifier],
    now: datetime,
    lifetime: timedelta = timedelta(days=1),
) -> tuple[str, str]:
    """(key PEM, certificate PEM). No names or usages omits the extension."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(load_certificate(authority_pem).subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lifetime)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), False)
    certificate = builder.sign(load_key(authority_key_pem), hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()
