"""The installation's X.509 certificates: authority, signing, and checks of role and id.

The identity is in the only subject alternative name, `<id>.<role>.innkeeper.internal`; the common name is for display.
The extended key usage prevents a rack's certificate from serving as a region's. A certificate without either is
rejected, even if the authority signed it: TLS libraries accept a certificate without a name for any host.

Fingerprints are SHA-256 over the DER form, in lower-case hex without separators.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidRequest, NotTrusted

AUTHORITY_LIFETIME = timedelta(days=20 * 365)
REGION_LIFETIME = timedelta(days=90)
RACK_LIFETIME = timedelta(days=7)
CLIENT_LIFETIME = timedelta(days=7)

# What cryptography raises for a certificate, key or request that is damaged or of a kind that it does not know: when it
# loads one, and when a part of it is first read.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_DOMAIN = "innkeeper.internal"
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLOCK_SKEW = timedelta(days=1)  # a certificate is valid on a computer whose clock is this much behind
_MAX_COMMON_NAME = 64


class Role(StrEnum):
    REGION = "region"
    RACK = "rack"
    CLIENT = "client"
    ANONYMOUS = "anonymous"  # a peer without a certificate; in no certificate


@frozen(kw_only=True)
class Subject:
    """The owner of a certificate. `id` is a lower-case DNS label such as a UUID; `name` is for display."""

    role: Role
    id: str
    name: str


@frozen(kw_only=True)
class Credentials:
    """A certificate, its private key and the authority that signed it, all PEM."""

    key_pem: str = field(repr=False)
    certificate_pem: str
    authority_pem: str


# Keys and requests ---------------------------------------------------------------------------------------------------


def make_key() -> str:
    """Returns a new P-256 private key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def make_signing_request(key_pem: str, name: str) -> str:
    """Returns a certificate signing request as PEM. The authority decides the subject of the certificate."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_common_name(name))
    return builder.sign(load_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def load_certificate(pem: str) -> x509.Certificate:
    """Parses one PEM certificate. Raises InvalidRequest."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except UNREADABLE as error:
        raise InvalidRequest("not a certificate in PEM form") from error


def load_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """Parses a P-256 private key in PEM form. Raises InvalidRequest."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except UNREADABLE as error:
        raise InvalidRequest("not a private key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidRequest("not a P-256 private key in PEM form")
    return key


# Signing -------------------------------------------------------------------------------------------------------------


def make_authority(name: str, now: datetime, lifetime: timedelta = AUTHORITY_LIFETIME) -> tuple[str, str]:
    """Returns a new authority as (key PEM, certificate PEM). It cannot sign further authorities."""
    key_pem = make_key()
    key = load_key(key_pem)
    public = key.public_key()
    usage = _usage(signs_certificates=True)
    certificate = (
        _builder(_common_name(name), _common_name(name), public, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key_pem, _pem(certificate)


def issue(
    authority_key_pem: str,
    authority_pem: str,
    *,
    signing_request_pem: str,
    subject: Subject,
    now: datetime,
    lifetime: timedelta,
) -> str:
    """Returns a certificate for the key of the request as PEM. Everything else in the request is ignored.

    Raises InvalidRequest for an invalid request, one not signed by its own key, or another kind of key.
    """
    authority, authority_key = load_certificate(authority_pem), load_key(authority_key_pem)
    public = _requested_key(signing_request_pem)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if subject.role is Role.REGION else ExtendedKeyUsageOID.CLIENT_AUTH
    certificate = (
        _builder(authority.subject, _common_name(subject.name), public, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns_name(subject))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _pem(certificate)


def dns_name(subject: Subject) -> str:
    """Returns the subject alternative name. Raises InvalidRequest for an invalid id or the role ANONYMOUS."""
    if not _ID.fullmatch(subject.id):
        raise InvalidRequest(f"invalid certificate id {subject.id!r}: use lower-case letters, digits and hyphens")
    if subject.role is Role.ANONYMOUS:
        raise InvalidRequest("an anonymous peer cannot get a certificate")
    return f"{subject.id}.{subject.role}.{_DOMAIN}"


# Reading -------------------------------------------------------------------------------------------------------------


def subject_of(certificate: x509.Certificate) -> Subject:
    """Returns the owner. Raises NotTrusted unless it has exactly one valid name and the key usage of its role.

    Does not check the signature: see `check_issued_by`.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *UNREADABLE) as error:
        raise NotTrusted(
            f"the certificate {fingerprint(certificate)} has no subject alternative name or key usage"
        ) from error
    subject = _named(list(names), certificate)
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if subject.role is Role.REGION else ExtendedKeyUsageOID.CLIENT_AUTH
    if list(usages) != [wanted]:
        raise NotTrusted(f"the certificate of {subject.role} {subject.id} has another key usage")
    return subject


def check_issued_by(certificate: x509.Certificate, authority: x509.Certificate, now: datetime) -> None:
    """Raises NotTrusted unless `authority` is a CA, signed `certificate` directly, and both are valid now."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, InvalidSignature, *UNREADABLE) as error:
        raise NotTrusted("the certificate is not signed by the authority it names") from error
    if not constraints.ca:
        raise NotTrusted("the issuer of the certificate is not an authority")
    for each in (authority, certificate):
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            raise NotTrusted(
                f"the certificate {fingerprint(each)} is valid from {each.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, but the clock here shows {now:%Y-%m-%d %H:%M} UTC"
            )


def check_key(certificate: x509.Certificate, key_pem: str) -> None:
    """Raises NotTrusted unless the certificate is for that key."""
    wanted = load_key(key_pem).public_key()
    try:
        found = certificate.public_key()
    except UNREADABLE as error:
        raise NotTrusted("the key in the certificate is damaged or of an unknown kind") from error
    if found != wanted:
        raise NotTrusted("the certificate and the private key do not match")


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def renew_at(certificate: x509.Certificate) -> datetime:
    """Returns the time when two thirds of the certificate's lifetime have passed."""
    starts, ends = certificate.not_valid_before_utc + _CLOCK_SKEW, certificate.not_valid_after_utc
    return starts + (ends - starts) * 2 / 3


def utc_now() -> datetime:
    return datetime.now(UTC)


# ---------------------------------------------------------------------------------------------------------------------


def _named(names: list[x509.GeneralName], certificate: x509.Certificate) -> Subject:
    if len(names) == 1 and isinstance(names[0], x509.DNSName) and names[0].value.endswith(f".{_DOMAIN}"):
        subject_id, _, role = names[0].value.removesuffix(f".{_DOMAIN}").rpartition(".")
        if _ID.fullmatch(subject_id) and role in {Role.REGION, Role.RACK, Role.CLIENT}:
            return Subject(role=Role(role), id=subject_id, name=_display_name(certificate) or subject_id)
    raise NotTrusted(f"the certificate {fingerprint(certificate)} does not have exactly one name in {_DOMAIN}")


def _display_name(certificate: x509.Certificate) -> str | None:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE as error:
        raise NotTrusted(f"the subject of the certificate {fingerprint(certificate)} is damaged") from error
    return str(found[0].value) if found else None


def _requested_key(signing_request_pem: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(signing_request_pem.encode())
        public = request.public_key()
    except UNREADABLE as error:
        raise InvalidRequest("not a certificate signing request in PEM form") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise InvalidRequest("the signing request has a key of another kind than P-256")
    if not request.is_signature_valid:
        raise InvalidRequest("the signing request is not signed by its own key")
    return public


def _builder(
    issuer: x509.Name, subject: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME] or "unnamed")])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
