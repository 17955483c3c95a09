"""The certificate of the API as a value, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.errors import InvalidRequest
from common.trust.certificates import UNREADABLE, fingerprint
from common.trust.expiry import NOTICE_DAYS

MIN_RSA_BITS = 2048

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@frozen(kw_only=True)
class ServerCertificate:
    """A certificate, its private key, and the intermediate certificates that follow it."""

    certificate: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False, eq=False)  # keys compare by identity; the certificate has the public one

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def expires_at(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def date_problem(self, now: datetime) -> str | None:
        """Returns why it is not valid now; None if it is."""
        if now > self.expires_at:
            return f"it expired on {self.expires_at:%Y-%m-%d %H:%M} UTC"
        if now < self.certificate.not_valid_before_utc:
            return (
                f"it is valid only from {self.certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is the clock right?"
            )
        return None

    def days_to_notify(self, now: datetime) -> int | None:
        """The smallest of NOTICE_DAYS within which it expires; None if none.

        Days longer than a quarter of its lifetime are left out: a certificate for 6 days is not late on its first day.
        """
        quarter = (self.expires_at - self.certificate.not_valid_before_utc) / 4
        left = self.expires_at - now
        passed = [days for days in NOTICE_DAYS if left.total_seconds() <= days * 86400 and days <= quarter.days]
        return min(passed, default=None)


def parse_pair(certificate_pem: bytes, key_pem: bytes) -> ServerCertificate:
    """Raises InvalidRequest with the reason, which has no part of the key."""
    chain = _chain(certificate_pem)
    key = _key(key_pem)
    try:
        public = chain[0].public_key()
    except UNREADABLE:
        raise InvalidRequest("the key in the certificate is damaged or of an unknown kind") from None
    if public != key.public_key():
        raise InvalidRequest("the first certificate is not for this private key")
    return ServerCertificate(certificate=chain[0], intermediates=tuple(chain[1:]), key=key)


def _chain(pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except UNREADABLE:
        raise InvalidRequest("the certificate file has no certificate in PEM form") from None


def _key(pem: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise InvalidRequest(
            "the private key has a password; write it without one, readable by the region only"
        ) from None
    except UNREADABLE:
        raise InvalidRequest("the key file has no private key in PEM form, or one of an unknown kind") from None
    if not isinstance(key, PrivateKey):
        raise InvalidRequest("the private key is neither RSA, ECDSA nor EdDSA")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise InvalidRequest(f"the RSA key has {key.key_size} bits; use at least {MIN_RSA_BITS}")
    return key
