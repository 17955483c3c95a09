"""Certificates of HTTPS servers for tests, in files as an administrator has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common.trust.certificates import fingerprint

DAY = timedelta(days=1)


@frozen(kw_only=True)
class Pair:
    certificate: x509.Certificate
    certificate_pem: bytes
    key_pem: bytes

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The paths of certificate and key."""
        folder.mkdir(exist_ok=True)
        paths = folder / "certificate.pem", folder / "key.pem"
        for path, content in zip(paths, (self.certificate_pem, self.key_pem), strict=True):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.chmod(0o600)
            new.replace(path)
        return paths


def make_pair(
    name: str = "region.test",
    *,
    starts_at: datetime | None = None,
    lifetime: timedelta = 90 * DAY,
    key: Any = None,
    password: bytes | None = None,
    issuer: x509.Name | None = None,
) -> Pair:
    """A self-signed certificate of `name` and of 127.0.0.1; `issuer` is another name for who signed it."""
    starts_at = starts_at or datetime.now(UTC) - timedelta(hours=1)
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts_at)
        .not_valid_after(starts_at + lifetime)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return Pair(
        certificate=certificate,
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
    )
