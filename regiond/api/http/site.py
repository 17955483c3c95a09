"""Serves the API over HTTP: limits of the transport, one log event per request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol

import structlog
from attrs import evolve, field, frozen
from twisted.web.server import Site

from common.addresses.report_url import without_secret
from common.process.open_connections import ConnectionLimits, OpenConnections
from common.rate_limit import RateLimiter
from common.tracing.spans import NO_TRACES, Tracer
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.description.describe import description_hash
from regiond.api.http.channel import HealthChannel, LimitedChannel, refusal
from regiond.api.http.forwarding import TrustedProxies
from regiond.api.http.klein_adapter import Adapter, Pages
from regiond.api.http.site_request import SiteRequest
from regiond.api.pipeline.dispatch import Api
from regiond.api.resources.registry import SERVED
from regiond.api.services import Services
from regiond.requests.request_limits import OpenRequests, RequestLimits

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REFUSAL_LOG_EVERY_S = 60.0  # for one address
HEALTH_CONNECTIONS, HEALTH_CONNECTIONS_PER_ADDRESS = 20, 4  # beyond the limits of the others


@frozen(kw_only=True)
class SiteOptions:
    """Limits of the transport. `hsts_s`: how long browsers use only HTTPS after an answer by HTTPS; 0: not said."""

    connections: ConnectionLimits = field(factory=ConnectionLimits)
    proxies: TrustedProxies = field(factory=TrustedProxies)
    hsts_s: int = 0


DEFAULT_OPTIONS = SiteOptions()


class RequestObserver(Protocol):
    """Receives each answered request with the declared name of its endpoint."""

    def answered(self, endpoint: str, method: str, status: int, duration_s: float) -> None: ...


class ApiSite(Site):
    """The factory for `listenTCP`. Stopping the port cancels changes; `close` ends all requests but WebSockets.

    Those end last: `close_websockets`.
    """

    def __init__(self, adapter: Adapter, options: SiteOptions, observer: RequestObserver | None = None) -> None:
        Site.__init__(self, adapter.app.resource(), requestFactory=SiteRequest, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self.adapter = adapter
        self._observer = observer
        self.connections = OpenConnections(options.connections)
        self.options = options  # its requests read them
        self._health_connections = OpenConnections(
            evolve(options.connections, total=HEALTH_CONNECTIONS, per_address=HEALTH_CONNECTIONS_PER_ADDRESS)
        )
        self._refusals = RateLimiter(every_s=REFUSAL_LOG_EVERY_S)

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        """Serves the connection if there is room for it; a few more are served if they ask for the region's health."""
        host = getattr(addr, "host", "")
        if self.connections.has_room(host):
            return self._served(addr, host, LimitedChannel, self.connections)
        if self._refusals.allow(host):
            log.warning("connection_refused", address=host, open=len(self.connections))
        if self._health_connections.has_room(host):
            return self._served(addr, host, HealthChannel, self._health_connections)
        return refusal(self.adapter.headers)

    def _served(self, addr: Any, host: str, kind: type[LimitedChannel], counted: OpenConnections) -> LimitedChannel:
        # What Twisted calls for the connection. Its generic channel only adds HTTP/2.
        self.protocol = partial(kind, self.adapter.refuses_body, counted.remove, self.adapter.headers)  # type: ignore[method-assign, assignment]
        channel: LimitedChannel = Site.buildProtocol(self, addr)
        counted.add(channel, host)
        return channel

    def log(self, request: Any) -> None:
        """Logs one event per request, without its query, which may contain signatures and passwords."""
        duration_s = time.monotonic() - request.started_s
        method = request.method.decode("ascii", "replace")
        if self._observer is not None:
            self._observer.answered(request.endpoint, method, request.code, duration_s)
        log.info(
            "request_answered",
            method=method,
            path=without_secret(request.path.decode("utf-8", "replace")),
            status=request.code,
            address=request.sender.address,
            sent_bytes=request.sentLength,
            duration_ms=round(duration_s * 1000, 1),
            request_id=request.request_id,
        )

    def stopFactory(self) -> None:  # noqa: N802  # Twisted's name
        self.adapter.running.stop()
        Site.stopFactory(self)

    async def close(self) -> None:
        """Ends requests, but for WebSockets, and waits for them. Stop the port first, so that no request arrives."""
        await self.adapter.running.close()

    async def close_websockets(self) -> None:
        """Waits for the end of WebSockets. End what they are about first, so that their clients are told why."""
        await self.adapter.running.close_websockets()


def make_site(
    services: Services,
    info: SiteInfo,
    *,
    options: SiteOptions = DEFAULT_OPTIONS,
    limits: RequestLimits | None = None,
    now_s: Callable[[], float] = time.time,
    pages: Callable[[Api], Pages] | None = None,
    observer: RequestObserver | None = None,
    tracer: Tracer = NO_TRACES,
) -> ApiSite:
    """The site that serves `services`, for `listenTCP`. `now_s` is the wall clock; `limits` are those of requests.

    `pages` makes the web pages, which change what they change through the API.
    """
    open_requests = OpenRequests(options.connections.per_address)
    api = Api(services=services, info=info, limits=limits or RequestLimits(), open_requests=open_requests, now_s=now_s)
    adapter = Adapter(
        api, SERVED, None if pages is None else pages(api), description_hash=_served_hash(), tracer=tracer
    )
    return ApiSite(adapter, options, observer)


@cache
def _served_hash() -> str:
    return description_hash(SERVED)
