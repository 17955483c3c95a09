"""HTTP connections with limits in time and number, which hold before anyone has logged in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import structlog
from attrs import define, field, frozen
from twisted.internet import protocol
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from common.errors import InnkeeperError

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

HEADERS_S = 20.0  # from the first byte of a request to the end of its headers, however slowly they arrive
BODY_S = 120.0  # from there to the end of the body
ADMIT_S = 10.0
ANONYMOUS_BODY_BYTES = 16 * 1024  # a longer body is read only once its sender is known; forms can be signed inside

# Of a request with its headers, and its target: whether they name a caller who may log in.
AdmitsBody = Callable[[Any, bytes], Awaitable[bool]]


def _closing(status: str, text: str, *headers: str) -> bytes:
    body = text.encode()
    lines = (f"HTTP/1.1 {status}", "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + body


_NOT_ADMITTED = _closing(
    "401 Unauthorized", f"Sign a request with a body of more than {ANONYMOUS_BODY_BYTES} bytes in its headers."
)
_TOO_MANY = _closing("503 Service Unavailable", "Too many connections are open; try again.", "Retry-After: 5")


class LimitedChannel(HTTPChannel):
    """One connection. Headers and body each have an absolute deadline; a long body needs a login first."""

    def __init__(self, admits_body: AdmitsBody, on_end: Callable[[LimitedChannel], None]) -> None:
        HTTPChannel.__init__(self)
        self._admits_body = admits_body
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._admission: asyncio.Task[None] | None = None
        self._awaits_continue = False

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; one may be arriving."""
        return not self._handlingRequest

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if self._timer is None and self.is_idle:
            self._end_within(HEADERS_S)
        HTTPChannel.dataReceived(self, data)

    def allHeadersReceived(self) -> None:  # noqa: N802  # Twisted's name
        self._end_within(BODY_S)
        if self.length is None or self.length > ANONYMOUS_BODY_BYTES:
            self._networkProducer.pauseProducing()
            self._admission = asyncio.get_running_loop().create_task(self._admit(self.requests[-1], self._path))
        HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:  # noqa: N802  # Twisted's name
        self._end_within(None)
        if self._admission is not None:  # the body came with the headers
            self._admission.cancel()
            self._networkProducer.resumeProducing()
        HTTPChannel.allContentReceived(self)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008, N802  # Twisted's
        self._end_within(None)
        if self._admission is not None:
            self._admission.cancel()
        self._on_end(self)
        HTTPChannel.connectionLost(self, reason)

    def end(self, answer: bytes = b"") -> None:
        """Ends the connection, after `answer`."""
        if self.transport is not None:
            self.transport.write(answer)
            HTTPChannel.timeoutConnection(self)  # cuts it if the peer does not read

    def _send100Continue(self) -> None:  # noqa: N802  # Twisted's name
        if self._admission is None:
            HTTPChannel._send100Continue(self)
        else:
            self._awaits_continue = True

    async def _admit(self, request: Any, target: bytes) -> None:
        """Lets the body through, or ends the connection."""
        try:
            async with asyncio.timeout(ADMIT_S):
                admitted = await self._admits_body(request, target)
        except (InnkeeperError, TimeoutError) as error:
            log.info("body_not_admitted", reason=str(error) or "timed out")
            admitted = False
        self._admission = None
        if not admitted:
            self.end(_NOT_ADMITTED)
            return
        if self._awaits_continue:
            self._awaits_continue = False
            HTTPChannel._send100Continue(self)
        self._networkProducer.resumeProducing()

    def _end_within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.end)


class _Refusal(protocol.Protocol):
    """Answers 503 to a connection that is one too many."""

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        if self.transport is not None:
            self.transport.write(_TOO_MANY)
            self.transport.loseConnection()


@frozen(kw_only=True)
class ConnectionLimits:
    """How many connections may be open. `per_address` does not hold for loopback, where a proxy may connect."""

    total: int = 2000
    per_address: int = 200


@define(eq=False)
class OpenConnections:
    """Counts the connections; makes room by ending the oldest one on which no request is being answered."""

    limits: ConnectionLimits
    _hosts: dict[LimitedChannel, str] = field(factory=dict, init=False)  # in the order of their start
    _counts: Counter[str] = field(factory=Counter, init=False)

    def __len__(self) -> int:
        return len(self._hosts)

    def has_room(self, host: str) -> bool:
        """Whether one more from this address may be served; an idle connection is ended for it if need be."""
        if self._counts[host] >= self.limits.per_address and not _is_loopback(host):
            return self._end_oldest(lambda other: other == host)
        return len(self._hosts) < self.limits.total or self._end_oldest(lambda _: True)

    def add(self, channel: LimitedChannel, host: str) -> None:
        self._hosts[channel] = host
        self._counts[host] += 1

    def remove(self, channel: LimitedChannel) -> None:
        """Idempotent."""
        host = self._hosts.pop(channel, None)
        if host is not None:
            self._counts -= Counter((host,))  # drops a count of 0

    def _end_oldest(self, matches: Callable[[str], bool]) -> bool:
        oldest = next((one for one, host in self._hosts.items() if matches(host) and one.is_idle), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.end()
        return True


def refusal() -> protocol.Protocol:
    """Returns the protocol of a connection that is not served."""
    return _Refusal()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
