"""Serves the metrics of a daemon by HTTP, on a port of its own, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.http import INTERNAL_SERVER_ERROR, HTTPChannel
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request, Site

from common.errors import BadSettings
from common.process.deferreds import from_deferred
from common.process.open_connections import ConnectionLimits, OpenConnections

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

IDLE_S = 30
CLOSE_DEADLINE_S = 5.0
LIMITS = ConnectionLimits(total=20, per_address=10)


class MetricsListener:
    """Answers GET and HEAD of /metrics from `registry`, in the format that the Accept header names, also gzip.

    `prepare` runs before each answer. If it or a collector raises, the answer is 500 and the log has the reason.
    """

    def __init__(
        self, registry: CollectorRegistry, *, host: str, port: int, prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._site = _MetricsSite(_MetricsPage(registry, prepare))
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, also if the system chose it."""
        if self._listening is None:
            raise AssertionError("the listener was not started")
        return int(self._listening.getHost().port)  # type: ignore[attr-defined]  # an IPv4Address or IPv6Address

    def start(self) -> None:
        """Requires the reactor. Raises BadSettings if the address cannot be used."""
        from twisted.internet import reactor  # noqa: PLC0415  # after the reactor was chosen

        site: Any = self._site
        try:
            self._listening = reactor.listenTCP(self._wanted_port, site, interface=self._host)
        except CannotListenError as error:
            raise BadSettings(
                f"Cannot listen on {self._host}:{self._wanted_port} for metrics: {error.socketError}. "
                "Set metrics_host and metrics_port to a free address; an empty metrics_host serves no metrics.",
                setting="metrics_port",
            ) from error
        log.info("metrics_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Closes the port and all connections. Idempotent."""
        listening, self._listening = self._listening, None
        self._site.connections.end_all()
        self._site.page.cancel()
        if listening is not None and (stopped := listening.stopListening()) is not None:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await from_deferred(stopped)


class _Channel(HTTPChannel):
    """A connection of a scraper; ends after `IDLE_S` without a request."""

    timeOut = IDLE_S  # noqa: N815  # Twisted's name

    is_refused = False

    @property
    def is_idle(self) -> bool:
        return not self.requests

    def end(self) -> None:
        HTTPChannel.forceAbortClient(self)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]  # noqa: N802  # Twisted's name
        site: Any = self.site  # type: ignore[attr-defined]  # Twisted sets it
        site.connections.remove(self)
        HTTPChannel.connectionLost(self, reason)


class _MetricsSite(Site):
    def __init__(self, page: _MetricsPage) -> None:
        root = Resource()
        root.putChild(b"metrics", EncodingResourceWrapper(page, [GzipEncoderFactory()]))
        Site.__init__(self, root, timeout=IDLE_S)
        self.page = page
        self.displayTracebacks = False
        self.connections = OpenConnections(LIMITS)
        self.protocol = _Channel  # type: ignore[assignment]  # what Twisted calls for a connection

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        host = getattr(addr, "host", "")
        if not self.connections.has_room(host):
            return None
        channel: Any = Site.buildProtocol(self, addr)
        self.connections.add(channel, host)
        return channel

    def log(self, request: Any) -> None:
        """Logs nothing: a scrape every few seconds is no event."""


class _MetricsPage(Resource):
    def __init__(self, registry: CollectorRegistry, prepare: Callable[[], Awaitable[None]]) -> None:
        Resource.__init__(self)
        self._registry = registry
        self._prepare = prepare
        self._running: set[asyncio.Task[None]] = set()

    def cancel(self) -> None:
        for task in tuple(self._running):
            task.cancel()

    def render_GET(self, request: Request) -> Any:  # noqa: N802  # Twisted's name; HEAD uses it too
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        request.notifyFinish().addErrback(lambda _: task.cancel())
        return NOT_DONE_YET

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
