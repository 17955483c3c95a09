"""Makes client certificates with only a name, as LXD accepts them."""

from __future__ import annotations

import ssl
import tempfile
from datetime import timedelta

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from common.trust.certificates import fingerprint, load_certificate, load_key, make_key, utc_now


@frozen(kw_only=True)
class KeyPair:
    certificate_pem: str
    key_pem: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(load_certificate(self.certificate_pem))

    def server_context(self) -> ssl.SSLContext:
        """The TLS of a server that presents the certificate."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(self.certificate_pem + self.key_pem)
            file.flush()
            server.load_cert_chain(file.name)
        return server


def make_key_pair(name: str) -> KeyPair:
    """Returns a self-signed pair, valid for a day."""
    key_pem = make_key()
    key = load_key(key_pem)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem=key_pem)
