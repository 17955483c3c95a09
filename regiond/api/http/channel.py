"""HTTP connections with limits in time and number, which hold before anyone has logged in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from twisted.internet import protocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.api.pipeline.request import MAX_BODY_BYTES
from regiond.api.replies import Reply, text_reply

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

HANDSHAKE_S = 10.0  # from the connection to the end of the TLS handshake, however slowly it goes on
HEADERS_S = 20.0  # from the first byte of a request to the end of its headers, however slowly they arrive
BODY_S = 120.0  # from there to the end of the body
ADMIT_S = 10.0
UNREAD_S = 120.0  # from the end of the last answer of a connection to when the client has read it
HEALTH_S = 10.0  # of a connection beyond the limit, with the answer to its health check
HEALTH_PATH = b"/healthz/"
_SLASHES = re.compile(rb"/{2,}")
MAX_HEADERS_BYTES = 64 * 1024  # of one line, and of all of a request; a little more than a signature may have

# Of a request with its headers, and its target: None if they name a caller who may log in, else the answer.
RefusesBody = Callable[[Any, bytes], Awaitable[Reply | None]]

_TOO_MANY = text_reply("Too many connections are open; try again.", status=503, headers={"Retry-After": "5"})
_LONG_TARGET = text_reply(f"The URL is longer than {MAX_HEADERS_BYTES} bytes.", status=414)
_LONG_HEADER = text_reply(f"A header is longer than {MAX_HEADERS_BYTES} bytes.", status=431)
_LONG_BODY = text_reply(
    f"The body is larger than {MAX_BODY_BYTES} bytes, the most that a request can have. To upload an image, declare it "
    "with its size, then PUT parts of its content to the upload_uri of the answer; `innkeeper boot-resources create` "
    "does both.",
    status=413,
)
_TIMED_OUT = text_reply("The login took too long; try again.", status=503)


def _closing(reply: Reply, common: Mapping[str, str]) -> bytes:
    """The answer that ends the connection; `common` are the headers of every answer of this site."""
    length = str(len(reply.body))
    headers = {**common, "Content-Type": reply.content_type, "Content-Length": length, **reply.headers}
    lines = (f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", *(f"{k}: {v}" for k, v in headers.items()))
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + reply.body


@implementer(IHandshakeListener)
class LimitedChannel(HTTPChannel):
    """One connection. Handshake, headers and body each have an absolute deadline; a long body needs a login first."""

    MAX_LENGTH = MAX_HEADERS_BYTES
    totalHeadersSize = MAX_HEADERS_BYTES  # noqa: N815  # Twisted's name

    def __init__(
        self, refuses_body: RefusesBody, on_end: Callable[[LimitedChannel], None], headers: Mapping[str, str]
    ) -> None:
        """`headers` are those of every answer, also of the ones that no request handler gives."""
        HTTPChannel.__init__(self)
        self._headers = headers
        self._refuses_body = refuses_body
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._admission: asyncio.Task[None] | None = None
        self._has_asked = False  # whether the sender of this request may send a long body
        self._awaits_continue = False
        self._receive: Callable[[bytes], None] | None = None
        self._tell_lost: Callable[[], None] | None = None
        self.has_refused = False  # a request whose body is still arriving
        self.is_refused = False  # the request that is being answered, after a delay
        self._is_clogged = False  # the client does not read what it was sent
        self._has_ended = False  # the last request was answered
        self._later: list[bytes] = []  # requests that wait until the client reads

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; one may be arriving, or an answer be on its way."""
        return self._has_ended or not self._handlingRequest

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        if _speaks_tls(self.transport):
            self._end_within(HANDSHAKE_S)
        HTTPChannel.connectionMade(self)

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's name
        self._end_within(None)

    def take_over(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """From now on what arrives is not HTTP, and goes to `receive`; `lost` is called when the connection has ended.

        The request that is being answered holds the connection.
        """
        self._receive, self._tell_lost = receive, lost
        early, self._dataBuffer = self._dataBuffer, []
        for data in early:
            receive(data)
        self.resume_reading()

    def refuse_long_body(self) -> None:
        """Answers before the end of the body, of which the rest is read: some clients send all before they read.

        Idempotent. The request ends the connection when it has all of the body, and the body's deadline at the latest.
        """
        self.refuse(_LONG_BODY)

    def refuse(self, reply: Reply) -> None:
        """Answers the request that is arriving before its end, which ends the connection. Idempotent."""
        if self.transport is not None and not self.has_refused:
            self.transport.write(_closing(reply, self._headers))
        self.has_refused = True

    def admit_long_body(self) -> None:
        """Reads on only once the sender of the request is known to be one who may log in. Idempotent."""
        if self._has_asked or self.has_refused:
            return
        self._has_asked = True
        self._networkProducer.pauseProducing()
        self._admission = asyncio.get_running_loop().create_task(self._admit(self.requests[-1], self._path))

    def pause_reading(self) -> None:
        self._networkProducer.pauseProducing()

    def resume_reading(self) -> None:
        self._networkProducer.resumeProducing()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if self._receive is not None:
            self._receive(data)
            return
        if self._later:
            self._later.append(data)
            return
        if self._timer is None and self.is_idle:
            self._end_within(HEADERS_S)
        HTTPChannel.dataReceived(self, data)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802  # Twisted's name
        """Says why, where Twisted only hangs up."""
        self.end(_closing(_LONG_HEADER if self.requests else _LONG_TARGET, self._headers))

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        """A body whose length is unknown may be short: its request asks for admission once it is not."""
        self._end_within(BODY_S)
        self._has_asked = self._awaits_continue = False
        if self.length is not None and self.length > ANONYMOUS_BODY_BYTES:
            self.admit_long_body()
        HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:  # noqa: N802  # Twisted's name
        self._end_within(None)
        if self._admission is not None:  # the rest of the body had been read already
            self._admission.cancel()
            self._admission = None
            self._networkProducer.resumeProducing()
        HTTPChannel.allContentReceived(self)

    def requestDone(self, request: Any) -> None:  # noqa: N802  # Twisted's name
        """Answers no further request that has arrived before the client reads: each may add a megabyte."""
        self._has_ended = not self.persistent
        if self._has_ended:
            self._end_within(UNREAD_S)
        elif self._is_clogged:
            self._later, self._dataBuffer = self._dataBuffer, []
        HTTPChannel.requestDone(self, request)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._is_clogged = True
        HTTPChannel.pauseProducing(self)

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._is_clogged = False
        HTTPChannel.resumeProducing(self)
        later, self._later = self._later, []
        if later:
            self.dataReceived(b"".join(later))

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008, N802  # Twisted's
        self._end_within(None)
        if self._admission is not None:
            self._admission.cancel()
        self._on_end(self)
        if self._tell_lost is not None:
            self._tell_lost()
        HTTPChannel.connectionLost(self, reason)

    def end(self, answer: bytes = b"") -> None:
        """Ends the connection, after `answer`."""
        if self.transport is not None:
            self.transport.write(answer)
            HTTPChannel.timeoutConnection(self)  # cuts it if the peer does not read

    def abort(self) -> None:
        """Cuts the connection at once: what it has not sent is lost."""
        transport: Any = self.transport  # plain or TLS, both of which have it
        if transport is not None:
            transport.abortConnection()

    def _send100Continue(self) -> None:  # noqa: N802  # Twisted's name
        if self._admission is None:
            HTTPChannel._send100Continue(self)  # noqa: SLF001  # the method of the base class
        else:
            self._awaits_continue = True

    async def _admit(self, request: Any, target: bytes) -> None:
        """Lets the body through, or ends the connection."""
        refusal: Reply | None = _TIMED_OUT
        try:
            async with asyncio.timeout(ADMIT_S):
                refusal = await self._refuses_body(request, target)
        except TimeoutError:
            log.warning("body_admission_timed_out", deadline_s=ADMIT_S)
        self._admission = None
        if refusal is not None:
            self.end(_closing(refusal, self._headers))
            return
        if self.length is not None and self.length > MAX_BODY_BYTES:
            self.refuse_long_body()
        elif self._awaits_continue:
            self._awaits_continue = False
            HTTPChannel._send100Continue(self)  # noqa: SLF001  # the method of the base class
        self._networkProducer.resumeProducing()

    def _end_within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.end)


class HealthChannel(LimitedChannel):
    """A connection beyond the limit, for one health check without a body: any other request is answered 503.

    It is reserved until its deadline, or until another one needs the place before this one has sent its request.
    """

    def __init__(
        self, refuses_body: RefusesBody, on_end: Callable[[LimitedChannel], None], headers: Mapping[str, str]
    ) -> None:
        LimitedChannel.__init__(self, refuses_body, on_end, headers)
        self._deadline: asyncio.TimerHandle | None = None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self._deadline = asyncio.get_running_loop().call_later(HEALTH_S, self._end_late)
        LimitedChannel.connectionMade(self)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        """Without the login that a long body needs."""
        if self.length != 0 or not merged_slashes(self._path).startswith(HEALTH_PATH):
            self.refuse(_TOO_MANY)
        HTTPChannel.allHeadersReceived(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802  # Twisted's name
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008, N802  # Twisted's
        if self._deadline is not None:
            self._deadline.cancel()
        LimitedChannel.connectionLost(self, reason)

    def _end_late(self) -> None:
        if self.is_idle:
            self.refuse(_TOO_MANY)
        self.end()


class _Refusal(protocol.Protocol):
    """Answers 503 to a connection that is one too many; one with TLS ends at once, since a handshake takes long."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        if self.transport is None:
            return
        if not _speaks_tls(self.transport):
            self.transport.write(_closing(_TOO_MANY, self._headers))
        self.transport.loseConnection()


def refusal(headers: Mapping[str, str]) -> protocol.Protocol:
    """Returns the protocol of a connection that is not served. `headers` are those of every answer."""
    return _Refusal(headers)


def _speaks_tls(transport: object) -> bool:
    return ISSLTransport.providedBy(transport)


def merged_slashes(target: bytes) -> bytes:
    """Returns the target with each run of `/` in its path replaced by one; the query is unchanged.

    Some clients join URLs with an empty part (`subnets//5/`). MAAS and most proxies also merge slashes.
    """
    path, question_mark, query = target.partition(b"?")
    return _SLASHES.sub(b"/", path) + question_mark + query
