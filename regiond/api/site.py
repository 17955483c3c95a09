"""The HTTP site of the region: transport limits, request ids, and one log line for each request."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from twisted.web.server import Request, Site

from regiond.api.adapter import Adapter, header
from regiond.api.answering import Api
from regiond.api.bodies import MAX_BODY_BYTES
from regiond.api.catalogue import SERVED
from regiond.api.endpoint import SiteInfo
from regiond.api.replies import TEXT_UTF8
from regiond.api.services import Services

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_GIVES_UP_AFTER_BYTES = 8 * MAX_BODY_BYTES
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)


class ApiRequest(Request):
    """Has an id, and refuses what no handler can use: endless bodies, hosts and paths that are no text.

    Twisted's methods are called on the class by name, since mypy can excuse their missing types only so.
    """

    defaultContentType = TEXT_UTF8.encode("ascii")  # noqa: N815  # Twisted's name

    def __init__(self, *args: Any, **kw: Any) -> None:
        Request.__init__(self, *args, **kw)
        self.request_id = uuid4().hex
        self.began_s = time.monotonic()
        self._body_bytes = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """What is over the limit is dropped, to be answered 413; a client that does not end is cut off."""
        self._body_bytes += len(data)
        if self._body_bytes <= MAX_BODY_BYTES:
            Request.handleContentChunk(self, data)
        elif self._body_bytes > _GIVES_UP_AFTER_BYTES:
            self.channel.loseConnection()

    def process(self) -> None:
        given = header(self, "X-Request-Id") or ""
        if _REQUEST_ID.fullmatch(given):
            self.request_id = given
        Request.setHeader(self, "X-Request-Id", self.request_id)
        refused = self._refusal()
        if refused is None:
            Request.process(self)
            return
        status, text = refused
        body = text.encode()
        Request.setResponseCode(self, status)
        Request.setHeader(self, "Content-Type", TEXT_UTF8)
        Request.setHeader(self, "Content-Length", str(len(body)))
        Request.write(self, body)
        Request.finish(self)

    def _refusal(self) -> tuple[int, str] | None:
        if self._body_bytes > MAX_BODY_BYTES:
            return 413, f"The body is larger than {MAX_BODY_BYTES} bytes."
        host = header(self, "Host")
        if host is not None and _HOST.fullmatch(host) is None:
            return 400, "Bad Request: the Host header names no host."
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return 400, "Bad Request: the path is not valid UTF-8."
        if not self.path.startswith(b"/"):
            return 400, "Bad Request: the path does not begin with a slash."
        return None


class ApiSite(Site):
    """Give it to `listenTCP`. When the port stops, what is under way ends too; `close` waits for that."""

    def __init__(self, adapter: Adapter) -> None:
        Site.__init__(self, adapter.app.resource(), requestFactory=ApiRequest, parsePOSTFormSubmission=False)
        self.displayTracebacks = False
        self.adapter = adapter

    def log(self, request: Any) -> None:
        """One line per request, without its query: signatures and passwords may be in there."""
        log.info(
            "request_answered",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("utf-8", "replace"),
            status=request.code,
            sent_bytes=request.sentLength,
            took_ms=round((time.monotonic() - request.began_s) * 1000, 1),
            request_id=request.request_id,
        )

    def stopFactory(self) -> None:  # noqa: N802  # Twisted's name
        self.adapter.stop()
        Site.stopFactory(self)

    async def close(self) -> None:
        """End what is under way. Stop the port first, so that nothing new arrives."""
        await self.adapter.close()


def make_site(services: Services, info: SiteInfo, *, now_s: Callable[[], float] = time.time) -> ApiSite:
    """The API over `services`, ready to be listened with. `now_s` is the wall clock."""
    api = Api(services=services, info=info, now_s=now_s)
    return ApiSite(Adapter(api, SERVED))
