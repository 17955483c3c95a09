"""Serves the API over HTTP: limits of the transport, request ids, one log event per request."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from twisted.web.server import Request, Site

from common.rate_limit import RateLimiter
from regiond.api.channel import ConnectionLimits, LimitedChannel, OpenConnections, refusal
from regiond.api.dispatch import Api
from regiond.api.endpoint import SiteInfo
from regiond.api.klein_adapter import Adapter, header
from regiond.api.registry import SERVED
from regiond.api.replies import TEXT_UTF8
from regiond.api.request_body import MAX_BODY_BYTES
from regiond.api.services import Services

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DEFAULT_LIMITS = ConnectionLimits()
REFUSAL_LOG_EVERY_S = 60.0  # for one address
_DISCONNECT_AFTER_BYTES = 8 * MAX_BODY_BYTES
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)


class SiteRequest(Request):
    """Has an id, and rejects oversized bodies, invalid hosts and paths before any handler.

    Calls Twisted's methods on the class by name, since only there can mypy excuse their missing types.
    """

    defaultContentType = TEXT_UTF8.encode("ascii")  # noqa: N815  # Twisted's name

    def __init__(self, *args: Any, **kw: Any) -> None:
        Request.__init__(self, *args, **kw)
        self.request_id = uuid4().hex
        self.started_s = time.monotonic()
        self._body_bytes = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Drops content beyond the limit (answered with 413) and disconnects a client that continues to send."""
        self._body_bytes += len(data)
        if self._body_bytes <= MAX_BODY_BYTES:
            Request.handleContentChunk(self, data)
        elif self._body_bytes > _DISCONNECT_AFTER_BYTES:
            self.channel.loseConnection()

    def process(self) -> None:
        given = header(self, "X-Request-Id") or ""
        if _REQUEST_ID.fullmatch(given):
            self.request_id = given
        Request.setHeader(self, "X-Request-Id", self.request_id)
        rejection = self._rejection()
        if rejection is None:
            Request.process(self)
            return
        status, text = rejection
        body = text.encode()
        Request.setResponseCode(self, status)
        Request.setHeader(self, "Content-Type", TEXT_UTF8)
        Request.setHeader(self, "Content-Length", str(len(body)))
        Request.write(self, body)
        Request.finish(self)

    def _rejection(self) -> tuple[int, str] | None:
        if self._body_bytes > MAX_BODY_BYTES:
            return 413, f"The body is larger than {MAX_BODY_BYTES} bytes."
        host = header(self, "Host")
        if host is not None and _HOST.fullmatch(host) is None:
            return 400, "Bad Request: the Host header is not a valid host."
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return 400, "Bad Request: the path is not valid UTF-8."
        if not self.path.startswith(b"/"):
            return 400, "Bad Request: the path does not begin with a slash."
        return None


class ApiSite(Site):
    """For `listenTCP`. Stopping the port cancels running requests; `close` waits until they have ended."""

    def __init__(self, adapter: Adapter, limits: ConnectionLimits) -> None:
        Site.__init__(self, adapter.app.resource(), requestFactory=SiteRequest, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self.adapter = adapter
        self.connections = OpenConnections(limits)
        self._refusals = RateLimiter(every_s=REFUSAL_LOG_EVERY_S)
        # Twisted calls it for each connection.
        self.protocol = lambda: LimitedChannel(adapter.admits_body, self.connections.remove)  # type: ignore[method-assign, assignment, return-value]  # the generic channel only adds HTTP/2

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802  # Twisted's name
        """Serves the connection if there is room for it."""
        host = getattr(addr, "host", "")
        if not self.connections.has_room(host):
            if self._refusals.allow(host):
                log.warning("connection_refused", address=host, open=len(self.connections))
            return refusal()
        channel: LimitedChannel = Site.buildProtocol(self, addr)
        self.connections.add(channel, host)
        return channel

    def log(self, request: Any) -> None:
        """Logs one event per request, without its query, which may contain signatures and passwords."""
        log.info(
            "request_answered",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("utf-8", "replace"),
            status=request.code,
            sent_bytes=request.sentLength,
            duration_ms=round((time.monotonic() - request.started_s) * 1000, 1),
            request_id=request.request_id,
        )

    def stopFactory(self) -> None:  # noqa: N802  # Twisted's name
        self.adapter.stop()
        Site.stopFactory(self)

    async def close(self) -> None:
        """Cancels running requests and waits for them. Stop the port first, so that no request arrives."""
        await self.adapter.close()


def make_site(
    services: Services,
    info: SiteInfo,
    *,
    limits: ConnectionLimits = DEFAULT_LIMITS,
    now_s: Callable[[], float] = time.time,
) -> ApiSite:
    """The site that serves `services`, for `listenTCP`. `now_s` is the wall clock."""
    api = Api(services=services, info=info, now_s=now_s)
    return ApiSite(Adapter(api, SERVED), limits)
