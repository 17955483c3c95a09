"""TLS 1.3 for links: who may show which certificate, and how the other end's is checked.

OpenSSL checks signatures, dates and key usage while it shakes hands. Whose certificate it is, we check ourselves when
the handshake is complete (`identify`): a certificate from our authority without a name would pass for all otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from attrs import frozen
from cryptography import x509
from OpenSSL import SSL
from OpenSSL import crypto as openssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from common.certificates import (
    Credentials,
    Role,
    check_issued_by,
    fingerprint,
    load_certificate,
    load_key,
    renew_at,
    subject_of,
    utc_now,
)
from common.errors import NotTrusted
from common.rpc.peers import Peer


class Identifying(Protocol):
    """Both kinds of context below: they make connections and say who is at the other end."""

    def identify(self, connection: SSL.Connection) -> Peer:
        """Call it when the handshake is complete. Raises NotTrusted."""


@implementer(IOpenSSLServerConnectionCreator)
class RegionTls:
    """A region's end. A peer without certificate is anonymous; one with another authority's fails the handshake.

    `issue` makes the region's credentials: now, and again when two thirds of the certificate's lifetime are over.
    """

    def __init__(self, issue: Callable[[], Credentials], clock: Callable[[], datetime] = utc_now) -> None:
        self._issue = issue
        self._clock = clock
        self._made: _Made | None = None

    def serverConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._current().context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        shown = connection.get_peer_certificate(as_cryptography=True)
        if shown is None:
            return Peer(role=Role.ANONYMOUS, name="anonymous")
        peer = _peer_of(shown)
        if peer.role not in {Role.RACK, Role.CLIENT}:
            raise NotTrusted(f"{peer} cannot be a caller here")
        return peer

    def _current(self) -> _Made:
        if self._made is None or self._clock() >= self._made.renew_at:
            credentials = self._issue()
            context = _context_with(credentials)
            context.add_extra_chain_cert(load_certificate(credentials.authority_pem))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE, _as_openssl_found)
            self._made = _Made(context=context, renew_at=renew_at(load_certificate(credentials.certificate_pem)))
        return self._made


@implementer(IOpenSSLClientConnectionCreator)
class MemberTls:
    """A rack's or RPC client's end: shows its certificate, accepts only a region of the same authority."""

    def __init__(self, credentials: Credentials) -> None:
        self._context = _context_with(credentials)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _as_openssl_found)

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        return _region(connection.get_peer_certificate(as_cryptography=True))


@implementer(IOpenSSLClientConnectionCreator)
class JoiningTls:
    """A newcomer's end: no certificate yet, and all it knows of the region is its authority's fingerprint."""

    def __init__(self, authority_fingerprint: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._wanted = authority_fingerprint
        self._clock = clock
        self._context = _context()
        # Nothing is trusted during the handshake and nothing is sent before `identify`, which checks the chain.
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
        authority = next((each for each in chain[1:] if fingerprint(each) == self._wanted), None)
        if authority is None:
            shown = ", ".join(fingerprint(each) for each in chain[1:]) or "none"
            raise NotTrusted(
                f"this is not the region of the token: its authority should be {self._wanted}, it showed {shown}"
            )
        check_issued_by(chain[0], authority, self._clock())
        return _region(chain[0])


@frozen(kw_only=True)
class _Made:
    context: SSL.Context
    renew_at: datetime


def _region(shown: x509.Certificate | None) -> Peer:
    if shown is None:
        raise NotTrusted("the other end showed no certificate")
    peer = _peer_of(shown)
    if peer.role is not Role.REGION:
        raise NotTrusted(f"{peer} answered where a region was expected")
    return peer


def _peer_of(certificate: x509.Certificate) -> Peer:
    subject = subject_of(certificate)
    return Peer(
        role=subject.role,
        name=subject.name,
        id=subject.id,
        fingerprint=fingerprint(certificate),
        expires_at=certificate.not_valid_after_utc,
    )


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    # No resumption: each link proves anew who it is.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _context_with(credentials: Credentials) -> SSL.Context:
    context = _context()
    context.use_certificate(load_certificate(credentials.certificate_pem))
    context.use_privatekey(load_key(credentials.key_pem))
    context.check_privatekey()
    store = context.get_cert_store()
    if store is None:
        raise RuntimeError("OpenSSL made a context without a certificate store")
    store.add_cert(openssl.X509.from_cryptography(load_certificate(credentials.authority_pem)))
    return context


def _as_openssl_found(connection: SSL.Connection, _: openssl.X509, problem: int, __: int, ok: int) -> bool:
    if not ok:
        connection.set_app_data(problem)
    return bool(ok)


def handshake_problem(connection: SSL.Connection | None) -> str:
    """What was wrong with the other end's certificate, in words; empty when OpenSSL found nothing wrong."""
    problem = None if connection is None else connection.get_app_data()
    if not isinstance(problem, int):
        return ""
    return _PROBLEMS.get(problem, f"the certificate was refused (OpenSSL verification error {problem})")


# OpenSSL's X509_V_ERR_… numbers, which pyOpenSSL does not name.
_PROBLEMS: Mapping[int, str] = {
    9: "the certificate is not valid yet; is the clock right?",
    10: "the certificate has expired; is the clock right?",
    18: "the certificate is signed by itself, not by our authority",
    19: "the certificate is not signed by our authority",
    20: "the certificate is not signed by our authority",
    21: "the certificate is not signed by our authority",
    26: "the certificate is for another use",
}
