"""HTTP connections from networks of guests: few, short, and without a body that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.addresses.ip_networks import NO_NETWORKS
from common.addresses.report_url import ReportAddress
from common.process.open_connections import ConnectionLimits, OpenConnections
from rackd.reports.report_request import Refusal, wanted_page

MAX_CONNECTIONS = 200
MAX_CONNECTIONS_PER_ADDRESS = 10
REQUEST_S = 15.0
REFUSAL_DELAY_S = 0.5  # so that strangers cannot keep the rack busy with refusals
MAX_REFUSED = 100  # connections whose refusal is due or was sent, beyond the limits of the others
MAX_REFUSED_PER_ADDRESS = 40  # an address is refused a hundred times per second at most, with the ten others
LINGER_S = 2.0  # in which a refused peer can read why, while what it still sends is dropped


class ReportChannel(HTTPChannel):
    """One connection for one request, which is refused before its body is read unless it is a report."""

    def __init__(self, on_refusal: Callable[[ReportChannel], None], on_end: Callable[[ReportChannel], None]) -> None:
        HTTPChannel.__init__(self)
        self._on_refusal = on_refusal
        self._on_end = on_end
        self._deadline: asyncio.TimerHandle | None = None
        self._answer: asyncio.TimerHandle | None = None
        self.is_refused = False  # those are counted apart instead
        self.wanted: ReportAddress | None = None  # None before the headers of the request are complete

    @property
    def is_idle(self) -> bool:
        """True while no request is being answered; one may be arriving."""
        return not self._handlingRequest

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self.extend(REQUEST_S)
        HTTPChannel.connectionMade(self)

    def extend(self, seconds: float) -> None:
        """The connection may take this long from now on."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        request: Any = self.requests[-1]
        types = request.requestHeaders.getRawHeaders(b"Content-Type", [])
        found = wanted_page(self._command, self._path, length=self.length, content_type=types[-1] if types else None)
        if isinstance(found, Refusal):
            self._refuse(found)
        else:
            self.wanted = found
            HTTPChannel.allHeadersReceived(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:  # noqa: N802  # Twisted's name
        return False

    def set_apart(self) -> None:
        """Counts the connection as refused, so that a delayed refusal does not block other guests of the address."""
        self._on_refusal(self)

    def end(self) -> None:
        """Makes room for another connection, without an answer."""
        self.abort()

    def abort(self) -> None:
        """Cuts the connection at once: what it has not sent is lost."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        for timer in (self._deadline, self._answer):
            if timer is not None:
                timer.cancel()
        self._on_end(self)
        HTTPChannel.connectionLost(self, reason)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers late. Reads on, and drops: to close with unread data would take the answer from the peer."""
        ignore: Any = _ignore
        self.dataReceived = self.lineReceived = self.rawDataReceived = self.allContentReceived = ignore  # type: ignore[method-assign]  # as Twisted itself does
        self.extend(REFUSAL_DELAY_S + LINGER_S)
        self.set_apart()
        self._answer = asyncio.get_running_loop().call_later(REFUSAL_DELAY_S, self._send_refusal, refusal)

    def _send_refusal(self, refusal: Refusal) -> None:
        transport: Any = self.transport
        body = f"{refusal.text}\n"
        transport.write(
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode("ascii")
        )
        transport.loseWriteConnection()


def _ignore(*_: object) -> None:
    """Drops data of a refused request, also those that arrived together with the headers."""


class ReportSite(Site):
    """Serves `resource` on few connections, of which one address has a small part. Parses no body."""

    def __init__(self, resource: Resource) -> None:
        Site.__init__(self, resource, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self._connections = _counted(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS)
        self._refused = _counted(MAX_REFUSED, MAX_REFUSED_PER_ADDRESS)
        # Twisted calls it for each connection.
        self.protocol = lambda: ReportChannel(self._set_apart, self._ended)  # type: ignore[method-assign, assignment, return-value]  # the generic channel only adds HTTP/2

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        """Returns a channel, or None, which rejects the connection."""
        if not self._connections.has_room(addr.host):
            return None
        channel: Any = Site.buildProtocol(self, addr)
        self._connections.add(channel, addr.host)
        return channel

    def close(self) -> None:
        """Cuts all connections."""
        self._connections.end_all()
        self._refused.end_all()

    def _set_apart(self, channel: ReportChannel) -> None:
        """Counts the connection with the refused ones, unless they are too many: then it takes a place of a guest."""
        peer: Any = channel.getPeer()  # type: ignore[no-untyped-call]  # an IPv4Address or IPv6Address
        if self._refused.has_room(peer.host):
            self._connections.remove(channel)
            self._refused.add(channel, peer.host)

    def _ended(self, channel: ReportChannel) -> None:
        self._connections.remove(channel)
        self._refused.remove(channel)

    def log(self, request: Any) -> None:
        """The path has a secret: the region records the report."""


def _counted(total: int, per_address: int) -> OpenConnections:
    """Counts each address for itself: all guests of an IPv6 network usually share its 64 bits."""
    return OpenConnections(ConnectionLimits(total=total, per_address=per_address, proxies=NO_NETWORKS, client_of=str))
