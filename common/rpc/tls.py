"""TLS 1.3 contexts for links, and identification of the peer by its certificate.

OpenSSL checks signatures, dates and key usage during the handshake. `identify` then checks role and name: without it, a
region would accept every certificate of the authority, whatever it was issued for.
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

from common.errors import NotTrusted
from common.rpc.peers import Peer
from common.trust.certificates import (
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


class PeerIdentifier(Protocol):
    """Implemented by the contexts below."""

    def identify(self, connection: SSL.Connection) -> Peer:
        """Returns the peer of a connection whose handshake is complete. Raises NotTrusted."""


@implementer(IOpenSSLServerConnectionCreator)
class RegionTls:
    """The region's end. A peer without a certificate is anonymous; one of another authority fails the handshake.

    `issue` creates the region's credentials at first use and after two thirds of the certificate's lifetime.
    """

    def __init__(self, issue: Callable[[], Credentials], clock: Callable[[], datetime] = utc_now) -> None:
        self._issue = issue
        self._clock = clock
        self._latest: _RenewableContext | None = None

    def serverConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._current().context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        shown = connection.get_peer_certificate(as_cryptography=True)
        if shown is None:
            return Peer(role=Role.ANONYMOUS, name="anonymous")
        peer = _peer_of(shown)
        if peer.role not in {Role.RACK, Role.CLIENT}:
            raise NotTrusted(f"{peer} is neither a rack nor an RPC client")
        return peer

    def _current(self) -> _RenewableContext:
        """Issues new credentials if there are none or their renewal is due."""
        if self._latest is None or self._clock() >= self._latest.renew_at:
            credentials = self._issue()
            context = _context_with(credentials)
            context.add_extra_chain_cert(load_certificate(credentials.authority_pem))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE, _record_problem)
            self._latest = _RenewableContext(
                context=context, renew_at=renew_at(load_certificate(credentials.certificate_pem))
            )
        return self._latest


@implementer(IOpenSSLClientConnectionCreator)
class MemberTls:
    """The end of a rack or RPC client: presents its certificate, accepts only a region of the same authority."""

    def __init__(self, credentials: Credentials) -> None:
        self._context = _context_with(credentials)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _record_problem)

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        return _region_peer(connection.get_peer_certificate(as_cryptography=True))


@implementer(IOpenSSLClientConnectionCreator)
class JoiningTls:
    """The end of a rack that joins: it has no certificate and knows the fingerprint of the region's authority."""

    def __init__(self, authority_fingerprint: str, clock: Callable[[], datetime] = utc_now) -> None:
        self._wanted = authority_fingerprint
        self._clock = clock
        self._context = _context()
        # The handshake trusts any certificate; nothing is sent before `identify` has checked the chain.
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        return SSL.Connection(self._context, None)

    def identify(self, connection: SSL.Connection) -> Peer:
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
        authority = next((each for each in chain[1:] if fingerprint(each) == self._wanted), None)
        if authority is None:
            shown = ", ".join(fingerprint(each) for each in chain[1:]) or "none"
            raise NotTrusted(
                f"this is not the region of the token: expected authority {self._wanted}, presented {shown}"
            )
        check_issued_by(chain[0], authority, self._clock())
        return _region_peer(chain[0])


@frozen(kw_only=True)
class _RenewableContext:
    context: SSL.Context
    renew_at: datetime


def _region_peer(shown: x509.Certificate | None) -> Peer:
    if shown is None:
        raise NotTrusted("the peer presented no certificate")
    peer = _peer_of(shown)
    if peer.role is not Role.REGION:
        raise NotTrusted(f"expected a region, found {peer}")
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
    # No session resumption: every link is authenticated.
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
        raise RuntimeError("OpenSSL created a context without a certificate store")
    store.add_cert(openssl.X509.from_cryptography(load_certificate(credentials.authority_pem)))
    return context


def _record_problem(connection: SSL.Connection, _: openssl.X509, problem: int, __: int, ok: int) -> bool:
    if not ok:
        connection.set_app_data(problem)
    return bool(ok)


def handshake_problem(connection: SSL.Connection | None) -> str:
    """Returns what OpenSSL found wrong with the peer's certificate, or an empty string."""
    problem = None if connection is None else connection.get_app_data()
    if not isinstance(problem, int):
        return ""
    return _PROBLEMS.get(problem, f"the certificate was rejected (OpenSSL verification error {problem})")


# OpenSSL's X509_V_ERR_… numbers, which pyOpenSSL does not name.
_PROBLEMS: Mapping[int, str] = {
    9: "the certificate is not valid yet; is the clock right?",
    10: "the certificate has expired; is the clock right?",
    18: "the certificate is self-signed, not signed by this installation's authority",
    19: "the certificate is not signed by this installation's authority",
    20: "the certificate is not signed by this installation's authority",
    21: "the certificate is not signed by this installation's authority",
    26: "the certificate is for another purpose",
}
