"""Serves the metrics of a daemon by HTTP, on a port of its own, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_ALLOWED, NOT_FOUND, HTTPChannel
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Request, Site

from common.process.http_listener import AnswerTasks, HttpListener, ListenAddress
from common.process.open_connections import ConnectionLimits, OpenConnections

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

IDLE_S = 30
LIMITS = ConnectionLimits(total=20, per_address=10)


def metrics_listener(
    registry: CollectorRegistry, *, host: str, port: int, prepare: Callable[[], Awaitable[None]]
) -> HttpListener | None:
    """Answers GET and HEAD of /metrics from `registry`, in the format that the Accept header names, also gzip.

    `prepare` runs before each answer. If it or a collector raises, the answer is 500 and the log has the reason.
    Returns None for an empty host: then there are no metrics.
    """
    if not host:
        return None
    advice = "Set metrics_host and metrics_port to a free address; an empty metrics_host serves no metrics."
    address = ListenAddress(purpose="metrics", host=host, port=port, advice=advice)
    return HttpListener(_MetricsSite(_MetricsPage(registry, prepare)), address)


class _Channel(HTTPChannel):
    """A connection of a scraper; ends unless a request is complete within `IDLE_S`."""

    is_refused = False

    def __init__(self, connections: OpenConnections) -> None:
        HTTPChannel.__init__(self)
        self._connections = connections
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """True while no request is being answered; one may be arriving."""
        return not self._handlingRequest

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        HTTPChannel.connectionMade(self)
        self._await_request()

    def requestDone(self, request: Any) -> None:  # noqa: N802  # Twisted's name
        self._await_request()  # first: a request that has arrived meanwhile is answered in the next line
        HTTPChannel.requestDone(self, request)

    def end(self) -> None:
        HTTPChannel.forceAbortClient(self)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        self._stop_waiting()
        self._connections.remove(self)
        HTTPChannel.connectionLost(self, reason)

    def _await_request(self) -> None:
        """Twisted's own time limit begins anew with each byte, and its clock is the wall clock."""
        self._stop_waiting()
        self._deadline = asyncio.get_running_loop().call_later(IDLE_S, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self.is_idle:
            self.end()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


class _MetricsSite(Site):
    def __init__(self, page: _MetricsPage) -> None:
        Site.__init__(self, _Paths(page), timeout=None)
        self.displayTracebacks = False
        self._connections = OpenConnections(LIMITS)
        # Twisted calls it for each connection.
        self.protocol = lambda: _Channel(self._connections)  # type: ignore[method-assign, assignment, return-value]  # the generic channel only adds HTTP/2

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        if not self._connections.has_room(addr.host):
            return None
        channel: Any = Site.buildProtocol(self, addr)
        self._connections.add(channel, addr.host)
        return channel

    def close(self) -> None:
        self._connections.end_all()

    def log(self, request: Any) -> None:
        """Logs nothing: a scrape every few seconds is no event."""


class _Paths(Resource):
    def __init__(self, page: _MetricsPage) -> None:
        Resource.__init__(self)
        self._page = EncodingResourceWrapper(page, [GzipEncoderFactory()])
        self._unknown: Resource = _UnknownPage()  # type: ignore[no-untyped-call]  # Twisted's

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:  # noqa: N802  # Twisted's name
        return self._page if request.path == b"/metrics" else self._unknown


class _UnknownPage(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def render(self, request: Request) -> bytes:
        return _refused(request, NOT_FOUND, "The metrics are at /metrics.")


def _refused(request: Request, status: int, text: str) -> bytes:
    """Returns the body; Twisted's own pages are HTML that it has deprecated."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    return b"" if request.method == b"HEAD" else f"{text}\n".encode()


class _MetricsPage(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, registry: CollectorRegistry, prepare: Callable[[], Awaitable[None]]) -> None:
        Resource.__init__(self)
        self._registry = registry
        self._prepare = prepare
        self._answers = AnswerTasks()

    def render(self, request: Request) -> Any:
        if request.method not in {b"GET", b"HEAD"}:
            request.setHeader(b"Allow", b"GET, HEAD")
            return _refused(request, NOT_ALLOWED, "Metrics are read with GET.")
        return self._answers.start(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            await self._prepare()
            accepted = request.requestHeaders.getRawHeaders("accept") or [""]
            encode, content_type = choose_encoder(",".join(accepted))
            body = encode(self._registry)
        except Exception:  # the boundary: a scraper gets an answer whatever a collector raises
            log.exception("metrics_crashed")
            request.setResponseCode(INTERNAL_SERVER_ERROR)
            content_type, body = "text/plain; charset=utf-8", b"The metrics could not be collected; see the log.\n"
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        request.setHeader(b"Cache-Control", b"no-store")
        if request.method != b"HEAD":
            request.write(body)
        request.finish()
