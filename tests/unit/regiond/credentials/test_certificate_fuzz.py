"""Certificates, keys and signing requests of strangers, damaged anywhere, end in a value or a known error."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from common.errors import InnkeeperError
from common.trust.certificates import (
    CLIENT_LIFETIME,
    Role,
    Subject,
    check_issued_by,
    check_key,
    fingerprint,
    issue,
    load_certificate,
    load_key,
    make_authority,
    make_key,
    make_signing_request,
    renew_at,
    subject_of,
    utc_now,
)
from regiond.credentials.certificates import read_key_pair
from regiond.https.model import parse_pair

SUBJECT = Subject(role=Role.RACK, id="r1", name="rack")


@cache
def authority() -> tuple[str, str]:
    return make_authority("test", utc_now())


@cache
def key() -> str:
    return make_key()


@cache
def request() -> str:
    return make_signing_request(key(), "rack")


@cache
def certificate() -> str:
    return issued(request())


def issued(signing_request: str) -> str:
    key_pem, pem = authority()
    return issue(
        key_pem, pem, signing_request_pem=signing_request, subject=SUBJECT, now=utc_now(), lifetime=CLIENT_LIFETIME
    )


def examine(pem: str) -> None:
    """What is asked of a certificate that a peer, a user or a host presents."""
    found = load_certificate(pem)
    fingerprint(found)
    for question in (
        lambda: subject_of(found),
        lambda: check_issued_by(found, load_certificate(authority()[1]), utc_now()),
        lambda: check_issued_by(load_certificate(certificate()), found, utc_now()),
        lambda: check_key(found, key()),
        lambda: renew_at(found),
    ):
        only_known_errors(question)


def only_known_errors(question: Callable[[], object]) -> None:
    with suppress(InnkeeperError):
        question()


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def pem_of(der: bytes, kind: str) -> str:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(der).decode()}\n-----END {kind}-----\n"


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with up to three pieces of it replaced."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(whole) - 1))
        width = draw(st.integers(0, 3))
        whole = whole[:at] + draw(st.binary(max_size=3)) + whole[at + width :]
    return whole


texts = st.text() | st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE REQUEST"]).flatmap(
    lambda kind: st.binary(max_size=200).map(lambda der: pem_of(der, kind))
)


@given(texts)
def test_any_text_is_a_certificate_key_or_request_or_an_error(text: str) -> None:
    only_known_errors(lambda: examine(text))
    only_known_errors(lambda: load_key(text))
    only_known_errors(lambda: issued(text))
    only_known_errors(lambda: read_key_pair(text, text, utc_now()))
    only_known_errors(lambda: parse_pair(text.encode("utf-8", "replace"), text.encode("utf-8", "replace")))


@given(st.data())
def test_a_damaged_certificate_is_read_or_rejected(data: st.DataObject) -> None:
    der = data.draw(damaged(der_of(certificate())))
    pem = pem_of(der, "CERTIFICATE")
    only_known_errors(lambda: examine(pem))
    only_known_errors(lambda: read_key_pair(pem, key(), utc_now()))
    only_known_errors(lambda: parse_pair(pem.encode(), key().encode()))


@given(st.data())
def test_a_damaged_authority_is_read_or_rejected(data: st.DataObject) -> None:
    der = data.draw(damaged(der_of(authority()[1])))
    only_known_errors(lambda: examine(pem_of(der, "CERTIFICATE")))


@given(st.data())
def test_a_damaged_signing_request_is_signed_or_rejected(data: st.DataObject) -> None:
    der = data.draw(damaged(der_of(request())))
    only_known_errors(lambda: issued(pem_of(der, "CERTIFICATE REQUEST")))


@given(st.data())
def test_a_damaged_key_is_read_or_rejected(data: st.DataObject) -> None:
    der = data.draw(damaged(der_of(key())))
    pem = pem_of(der, "PRIVATE KEY")
    only_known_errors(lambda: load_key(pem))
    only_known_errors(lambda: read_key_pair(certificate(), pem, utc_now()))
    only_known_errors(lambda: parse_pair(certificate().encode(), pem.encode()))
