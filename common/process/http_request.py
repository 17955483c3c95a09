"""HTTP requests of clients, by Twisted: what a request gets, and what the failure of one means.

Each has a connection of its own, which ends with it, whatever the server does: one that sends a part of its answer and
then nothing, or does not answer the end of TLS, would keep the connection for ever. What is no content, the head and
the frames of chunks, is bounded here: it takes memory and time of the event loop before any `take` is called.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from enum import Enum, auto
from io import BytesIO
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError
from twisted.web.client import (
    URI,
    Agent,
    FileBodyProducer,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from common.bodies.bounded_body import BoundedBody, TooLarge
from common.process.deferreds import from_deferred
from common.process.https_policy import HttpsPolicy
from common.process.tcp_endpoint import tcp_endpoint

UNREACHABLE = (ConnectError, DNSLookupError)
BROKEN = (ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed, ConnectionLost, SSL.Error)
# OpenSSL's reasons when a handshake is answered with something else than TLS.
_NO_TLS = ("wrong version number", "packet length too long", "record layer failure", "http request", "unknown protocol")
_MAX_REASON = 200
_READ_BYTES = 2**15  # Twisted reads 64 KiB, which take it 50 ms in chunks of one byte, and twice that on a busy core
MAX_OVERHEAD_BYTES = 256 * 1024  # of a head, and of what separates chunks
_OVERHEAD_PART = 16  # chunks of 100 bytes and more are usual

Take = Callable[[bytes], None]  # of each part of a body


async def whole(
    reactor: Any,
    policy: HttpsPolicy,
    method: str,
    url: str,
    headers: Headers,
    data: bytes,
    *,
    connect_s: float,
    deadline_s: float,
    max_bytes: int,
) -> tuple[Any, bytes]:
    """Returns Twisted's response and its body, which ends within the deadline of all, however it arrives.

    Raises TooLarge, TimeoutError, UNREACHABLE and BROKEN.
    """
    body = BoundedBody(max_bytes)
    async with asyncio.timeout(deadline_s):
        response = await request(
            reactor, policy, method, url, headers, data, connect_s=connect_s, take=lambda _: body.take
        )
    return response, body.content()


async def request(
    reactor: Any,
    policy: HttpsPolicy,
    method: str,
    url: str,
    headers: Headers,
    data: bytes,
    *,
    connect_s: float,
    take: Callable[[Any], Take],
    is_stream: bool = False,
) -> Any:
    """Returns Twisted's response, of which `take(response)` has taken the whole body.

    A stream has many small parts for as long as it lasts, so that only its head is bounded.

    Raises UNREACHABLE, BROKEN, TooLarge, and what `take` raises. Nothing of it remains, however it ends.
    """
    overhead = _Overhead()
    connections = _Connections(reactor, policy, connect_s, overhead)
    agent = Agent.usingEndpointFactory(reactor, connections)
    try:
        producer = FileBodyProducer(BytesIO(data)) if data else None
        response = await from_deferred(agent.request(method.encode(), url.encode(), headers, producer))
        overhead.is_head_only = is_stream
        taken = take(response)

        def counted(part: bytes) -> None:
            overhead.content_bytes += len(part)
            taken(part)

        await from_deferred(_taken(response, counted))
    except BROKEN as error:
        if overhead.is_exceeded:
            raise TooLarge(f"headers or frames of more than {MAX_OVERHEAD_BYTES} bytes") from error
        raise
    finally:
        connections.abort()
    return response


def _taken(response: Any, take: Callable[[bytes], object]) -> Deferred[None]:
    """Returns what ends with the body. A failure of `take` ends it, and closes the connection."""
    ended: Deferred[None] = Deferred()
    response.deliverBody(_Body(take, ended))
    return ended


@define
class _Body(Protocol):
    """Passes a body on. `treq` has the same, and takes a third of the command's start to import."""

    take: Callable[[bytes], object]
    ended: Deferred[None]

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's
        if self.ended.called:
            return
        try:
            self.take(data)
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            self.ended.errback(Failure(error))
            if self.transport is not None:
                self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's
        if self.ended.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):  # the latter: a body without a length
            self.ended.callback(None)
        else:
            self.ended.errback(reason)


@define
class _Overhead:
    """Counts what arrives and is no content; beyond the limit, the connection ends."""

    received_bytes: int = 0
    content_bytes: int = 0
    is_head_only: bool = False

    @property
    def is_exceeded(self) -> bool:
        if self.is_head_only:
            return False
        permitted = MAX_OVERHEAD_BYTES + self.content_bytes // _OVERHEAD_PART
        return self.received_bytes - self.content_bytes > permitted

    def count(self, protocol: Any) -> None:
        """Counts what this protocol gets from now on, in reads of at most `_READ_BYTES`."""
        received, transport = protocol.dataReceived, protocol.transport
        getattr(transport, "transport", transport).bufferSize = _READ_BYTES  # of TLS, what is below it

        def data_received(data: bytes) -> None:
            self.received_bytes += len(data)
            received(data)
            if self.is_exceeded:
                _abort(protocol)

        protocol.dataReceived = data_received


@implementer(IStreamClientEndpoint)
@define
class _Recorded:
    """An endpoint that tells which connection it has opened."""

    inner: Any
    opened: Callable[[Any], None]

    def connect(self, factory: Any) -> Any:
        return self.inner.connect(factory).addCallback(self._remember)

    def _remember(self, protocol: Any) -> Any:
        self.opened(protocol)
        return protocol


@implementer(IAgentEndpointFactory)
@define
class _Connections:
    """Connects as Twisted's agent does, and can abort what it has opened: the agent ends it only with its answer."""

    reactor: Any
    policy: HttpsPolicy
    connect_s: float
    overhead: _Overhead
    _protocols: list[Any] = field(factory=list, init=False)

    def endpointForURI(self, uri: URI) -> Any:  # noqa: N802  # Twisted's
        endpoint: Any = tcp_endpoint(self.reactor, uri.host.decode("ascii"), uri.port, connect_s=self.connect_s)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self.policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _Recorded(endpoint, self._opened)

    def _opened(self, protocol: Any) -> None:
        self._protocols.append(protocol)
        self.overhead.count(protocol)

    def abort(self) -> None:
        for protocol in self._protocols:
            _abort(protocol)


def _abort(protocol: Any) -> None:
    """Ends it at TCP: to end TLS takes an answer of the server. Does nothing to one that has ended."""
    getattr(protocol.transport, "transport", protocol.transport).abortConnection()


class Breakage(Enum):
    """The meaning of an error of BROKEN."""

    NO_TLS = auto()
    NOT_TRUSTED = auto()
    TLS = auto()
    NO_HTTP = auto()
    LOST = auto()  # before the response: the request may have been executed


@frozen
class Broken:
    meaning: Breakage
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Broken:
        reasons = getattr(error, "reasons", None)
        cause: BaseException = reasons[0].value if reasons else error
        if isinstance(cause, SSL.Error):
            reason = "; ".join(str(entry[-1]) for entry in (cause.args[0] if cause.args else ())) or "unknown reason"
            if any(text in reason for text in _NO_TLS):
                return cls(Breakage.NO_TLS, reason)
            untrusted = "certificate verify failed" in reason
            return cls(Breakage.NOT_TRUSTED if untrusted else Breakage.TLS, reason[:_MAX_REASON])
        return cls(Breakage.NO_HTTP if isinstance(cause, ParseError) else Breakage.LOST, reason_of(cause))


def reason_of(error: BaseException) -> str:
    """Returns the error's text on one line, without a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:_MAX_REASON] or type(error).__name__


def header(response: Any, name: str) -> str | None:
    """Returns the first value of a header; None without it."""
    values = response.headers.getRawHeaders(name)
    return str(values[0]) if values else None


def signer(consumer: str, token: str, secret: str) -> Callable[[str, str], str]:
    """Returns what makes the header `Authorization` of a request: of a method and a URL."""
    signature = quote(f"&{quote(secret, safe='')}", safe="")
    fixed = (
        'oauth_version="1.0", oauth_signature_method="PLAINTEXT", '
        f'oauth_consumer_key="{quote(consumer, safe="")}", oauth_token="{quote(token, safe="")}", '
        f'oauth_signature="{signature}"'
    )

    def sign(_method: str, _url: str) -> str:  # OAuth 1.0, PLAINTEXT: neither is signed
        return f'OAuth oauth_nonce="{secrets.token_hex(16)}", oauth_timestamp="{int(time.time())}", {fixed}'

    return sign
