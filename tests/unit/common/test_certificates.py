"""Certificates carry owner and key usage; others are rejected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from common.errors import InvalidRequest, NotTrusted
from common.trust.certificates import (
    Role,
    Subject,
    check_issued_by,
    check_key,
    dns_name,
    fingerprint,
    issue,
    load_certificate,
    load_key,
    make_authority,
    make_key,
    make_signing_request,
    renew_at,
    subject_of,
)
from tests.integration.support.odd_certificates import odd_certificate

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
RACK = Subject(role=Role.RACK, id="9d3c8d3e-1111-4222-8333-abcdefabcdef", name="rack-a")
AUTHORITY_KEY, AUTHORITY = make_authority("test", NOW)


def signed(subject: Subject = RACK, *, request: str | None = None, lifetime: timedelta = WEEK) -> x509.Certificate:
    request = request or make_signing_request(make_key(), "name-in-the-request")
    pem = issue(AUTHORITY_KEY, AUTHORITY, signing_request_pem=request, subject=subject, now=NOW, lifetime=lifetime)
    return load_certificate(pem)


@pytest.mark.parametrize("role", [Role.REGION, Role.RACK, Role.CLIENT])
def test_a_certificate_has_owner_and_key_usage(role: Role) -> None:
    subject = Subject(role=role, id="some-id", name="Some Name")
    certificate = signed(subject)
    assert subject_of(certificate) == subject
    check_issued_by(certificate, load_certificate(AUTHORITY), NOW)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    server = role is Role.REGION
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH]


def test_only_the_key_is_taken_from_a_signing_request() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("r.region.innkeeper.internal")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = signed(request=request.public_bytes(serialization.Encoding.PEM).decode())
    assert subject_of(certificate) == RACK
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("subject_id", ["", "Upper", "a.b", "-a", "a" * 64, "a b", "a\n"])
def test_an_id_that_is_not_a_dns_label_is_rejected(subject_id: str) -> None:
    with pytest.raises(InvalidRequest):
        dns_name(Subject(role=Role.RACK, id=subject_id, name="x"))


def test_an_anonymous_peer_cannot_get_a_certificate() -> None:
    with pytest.raises(InvalidRequest):
        signed(Subject(role=Role.ANONYMOUS, id="x", name="x"))


def test_a_long_name_is_cut_to_the_limit_of_common_names() -> None:
    assert subject_of(signed(Subject(role=Role.RACK, id="x", name="n" * 100))).name == "n" * 64


@pytest.mark.parametrize("text", ["", "nonsense", AUTHORITY, AUTHORITY_KEY])
def test_an_invalid_signing_request_is_rejected(text: str) -> None:
    with pytest.raises(InvalidRequest):
        issue(AUTHORITY_KEY, AUTHORITY, signing_request_pem=text, subject=RACK, now=NOW, lifetime=WEEK)


def test_another_kind_of_key_is_rejected() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(InvalidRequest, match="P-256"):
        signed(request=request.public_bytes(serialization.Encoding.PEM).decode())


def test_a_request_not_signed_by_its_own_key_is_rejected() -> None:
    pem = make_signing_request(make_key(), "a")
    request = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER))
    request[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(request)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(InvalidRequest, match="own key"):
        signed(request=forged)


@pytest.mark.parametrize(
    ("names", "usages"),
    [
        ([], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["x.rack.innkeeper.internal"], []),
        (["x.rack.innkeeper.internal"], [ExtendedKeyUsageOID.SERVER_AUTH]),
        (["x.rack.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        (["x.region.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["x.rack.innkeeper.internal", "y.rack.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["x.rack.example.org"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["x.king.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["x.anonymous.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["rack.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (["a.b.rack.innkeeper.internal"], [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_a_certificate_with_another_name_or_usage_is_rejected(
    names: list[str], usages: list[x509.ObjectIdentifier]
) -> None:
    _, pem = odd_certificate(AUTHORITY_KEY, AUTHORITY, names=names, usages=usages, now=NOW)
    with pytest.raises(NotTrusted):
        subject_of(load_certificate(pem))


def test_a_certificate_of_another_issuer_is_rejected() -> None:
    certificate = signed()
    _, other = make_authority("test", NOW)
    with pytest.raises(NotTrusted, match="not signed"):
        check_issued_by(certificate, load_certificate(other), NOW)
    with pytest.raises(NotTrusted):
        check_issued_by(certificate, certificate, NOW)


@pytest.mark.parametrize("moved", [timedelta(days=8), timedelta(hours=-25)])
def test_a_certificate_is_rejected_outside_its_lifetime(moved: timedelta) -> None:
    with pytest.raises(NotTrusted, match="is valid from"):
        check_issued_by(signed(), load_certificate(AUTHORITY), NOW + moved)


def test_a_clock_that_is_an_hour_slow_accepts_a_new_certificate() -> None:
    check_issued_by(signed(), load_certificate(AUTHORITY), NOW - timedelta(minutes=59))


def test_renewal_is_due_at_two_thirds_of_the_lifetime() -> None:
    assert renew_at(signed(lifetime=timedelta(days=9))) == NOW + timedelta(days=6)


def test_a_certificate_matches_only_its_key() -> None:
    key = make_key()
    certificate = signed(request=make_signing_request(key, "a"))
    check_key(certificate, key)
    with pytest.raises(NotTrusted):
        check_key(certificate, make_key())


def test_fingerprints_are_plain_lower_case_hex() -> None:
    found = fingerprint(load_certificate(AUTHORITY))
    assert len(found) == 64
    assert set(found) <= set("0123456789abcdef")


@pytest.mark.parametrize("text", ["", "nonsense", AUTHORITY])
def test_an_invalid_key_is_rejected(text: str) -> None:
    with pytest.raises(InvalidRequest):
        load_key(text)
