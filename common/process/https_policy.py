"""Verifies the certificates of servers in requests by Twisted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from common.errors import NotTrusted
from common.trust.server_trust import ServerTrust

KEPT = 64  # contexts, each of one host and its authorities
KEPT_FOR_S = 300.0  # then the authorities of the computer are read again: they may have changed


@implementer(IPolicyForHTTPS)
class HttpsPolicy:
    """`rejected` says why the certificate of the last connection was not the pinned one. `clock` has seconds."""

    def __init__(self, trust: ServerTrust, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._trust = trust
        self._clock = clock
        self._pinned = _PinnedTls(trust) if trust.fingerprint else None

    @property
    def rejected(self) -> NotTrusted | None:
        return None if self._pinned is None else self._pinned.rejected

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: N802  # Twisted's
        if self._pinned is not None:
            return self._pinned
        period = int(self._clock() // KEPT_FOR_S)
        return _creator(hostname.decode("ascii"), self._trust.authority_pem, period)


@lru_cache(maxsize=KEPT)
def _creator(hostname: str, authority_pem: str, _: int) -> IOpenSSLClientConnectionCreator:
    """Returns what connects to a host: to read the authorities again for each connection takes much of its time."""
    creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(hostname, trustRoot=_roots(authority_pem))
    return creator


def _roots(authority_pem: str) -> Any:
    if not authority_pem:
        return platformTrust()
    found = x509.load_pem_x509_certificates(authority_pem.encode())
    return trustRootFromCertificates([Certificate.loadPEM(each.public_bytes(Encoding.PEM)) for each in found])


@implementer(IOpenSSLClientConnectionCreator)
class _PinnedTls:
    """Accepts exactly one certificate, whoever signed it and whatever host it names."""

    def __init__(self, trust: ServerTrust) -> None:
        self._trust = trust
        self.rejected: NotTrusted | None = None
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802  # Twisted's
        self.rejected = None
        return SSL.Connection(self._context, None)

    def _verify(self, _: SSL.Connection, shown: crypto.X509, __: int, depth: int, ___: int) -> bool:
        """OpenSSL calls it at least once for the server's own certificate, whose depth is 0."""
        if depth > 0:
            return True
        try:
            self._trust.check(shown.to_cryptography().public_bytes(Encoding.DER))
        except NotTrusted as error:
            self.rejected = error
            return False
        return True
