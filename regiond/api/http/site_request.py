"""One HTTP request: its id, its sender, its parts, and what is rejected before any handler."""

from __future__ import annotations

import re
import time
from functools import cached_property
from typing import Any, cast
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from twisted.web.server import Request

from regiond.api.http.channel import LimitedChannel, merged_slashes
from regiond.api.http.forwarding import Sender, TrustedProxies, is_host
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.api.pipeline.request import MAX_BODY_BYTES, ApiRequest, names_op
from regiond.api.replies import TEXT_UTF8
from regiond.requests.request_limits import Place

_MAX_FORM_WITH_OP_BYTES = 16 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class SiteRequest(Request):
    """Has an id and a sender, and rejects oversized bodies, invalid hosts and paths before any handler.

    Calls Twisted's methods on the class by name, since only there can mypy excuse their missing types.
    """

    defaultContentType = TEXT_UTF8.encode("ascii")  # noqa: N815  # Twisted's name

    def __init__(self, *args: Any, **kw: Any) -> None:
        Request.__init__(self, *args, **kw)
        self.request_id = uuid4().hex
        self.started_s = time.monotonic()
        self.endpoint = "none"  # the declared name, for metrics; never a text of the client
        self.traceparent = ""  # of its span, if it is traced
        self.place = Place()
        self._body_bytes = 0
        self.unproven_bytes = 0  # counted for the sender's address before the body is read
        self.sent_target = b""  # the target as the client sent it, and signed it

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Drops what is beyond the limit. Only a body whose length was not declared gets there without a refusal."""
        self._body_bytes += len(data)
        if self._body_bytes > ANONYMOUS_BODY_BYTES:
            self._channel.admit_long_body()
        if self._body_bytes > MAX_BODY_BYTES:
            self._channel.refuse_long_body()
        elif not self._channel.has_refused:
            Request.handleContentChunk(self, data)

    def name_endpoint(self, name: str) -> None:
        """Names what answers the request."""
        self.endpoint = name

    @property
    def _site(self) -> Any:
        channel: Any = self.channel
        return channel.site

    @property
    def _channel(self) -> LimitedChannel:
        return cast(LimitedChannel, self.channel)

    @cached_property
    def peer_address(self) -> str:
        """The address of the connection's other end: a client or a proxy."""
        return str(getattr(Request.getClientAddress(self), "host", ""))

    @cached_property
    def sender(self) -> Sender:
        """Who sent the request and to which URL, once its headers have been received."""
        peer = Sender(
            address=self.peer_address,
            scheme="https" if Request.isSecure(self) else "http",
            host=header(self, "Host") or "localhost",
        )
        proxies: TrustedProxies = self._site.options.proxies
        return proxies.sender(peer, lambda name: header_lines(self, name))

    def process(self) -> None:
        if self._channel.has_refused:
            self._channel.end()
            return
        given = header(self, "X-Request-Id") or ""
        if _REQUEST_ID.fullmatch(given):
            self.request_id = given
        Request.setHeader(self, "X-Request-Id", self.request_id)
        hsts_s = self._site.options.hsts_s
        if hsts_s and Request.isSecure(self):  # a proxy that terminates TLS sets its own
            Request.setHeader(self, "Strict-Transport-Security", f"max-age={hsts_s}")
        rejection = self._rejection()
        self.sent_target = self.uri
        self.path, self.uri = merged_slashes(self.path), merged_slashes(self.uri)
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
        hosts = header_lines(self, "Host")
        if len(hosts) > 1:  # a proxy may have checked another one than is used here
            return 400, "Bad Request: there is more than one Host header."
        if hosts and not is_host(hosts[0]):
            return 400, "Bad Request: the Host header is not a valid host."
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return 400, "Bad Request: the path is not valid UTF-8."
        if not self.path.startswith(b"/"):
            return 400, "Bad Request: the path does not begin with a slash."
        return None


def header(request: Request, name: str) -> str | None:
    """A header as text. Replaces invalid UTF-8, on which Twisted's own decoding fails."""
    found = request.requestHeaders.getRawHeaders(name.encode("ascii"))
    return found[-1].decode("utf-8", "replace") if found else None


def header_lines(request: Request, name: str) -> list[str]:
    """All lines of a header as text, in their order."""
    return [line.decode("utf-8", "replace") for line in request.requestHeaders.getRawHeaders(name.encode("ascii"), [])]


def method_of(request: SiteRequest) -> str:
    """Returns the method that decides: HEAD is answered as GET."""
    method = request.method.decode("ascii", "replace")
    return "GET" if method == "HEAD" else method


def _query(request: SiteRequest) -> str:
    return request.uri.partition(b"?")[2].decode("utf-8", "surrogateescape")


def body_bytes(request: SiteRequest) -> int | None:
    """Returns the declared length of the body; None if the headers do not say."""
    length = header(request, "Content-Length")
    return int(length) if length is not None else None


def op_in_form(request: SiteRequest) -> bool:
    """Whether the query or a short form names an op. A long form is parsed in a thread, for who may send it."""
    body = b"" if request.content is None else request.content.read(_MAX_FORM_WITH_OP_BYTES + 1)
    if request.content is not None:
        request.content.seek(0)
    short = body if len(body) <= _MAX_FORM_WITH_OP_BYTES else b""
    return names_op(_query(request), header(request, "Content-Type"), short)


def read_request(request: SiteRequest, *, op_suffix: str | None) -> ApiRequest:
    """Returns the request as the pipeline takes it; `op_suffix` is the op of a path that ends in `op-NAME`."""
    return ApiRequest(
        method=method_of(request),
        query=_query(request),
        body=b"" if request.content is None else request.content.read(),
        content_type=header(request, "Content-Type"),
        authorization=header(request, "Authorization"),
        prefer=header(request, "Prefer") or "",
        idempotency_key=header(request, "Idempotency-Key"),
        last_event_id=header(request, "Last-Event-ID"),
        byte_range=header(request, "Range"),
        op_suffix=op_suffix,
        if_match=header(request, "If-Match"),
        if_none_match=header(request, "If-None-Match"),
        sent_method=request.method.decode("ascii", "replace"),
        sent_path=request.sent_target.partition(b"?")[0].decode("utf-8", "surrogateescape"),
        origin=request.sender.origin,
        client_address=request.sender.address,
        place=request.place,
        unproven_bytes=request.unproven_bytes,
    )


def request_id(request: Any) -> str:
    """Returns the id of a request; empty for one that is no SiteRequest."""
    found: str = getattr(request, "request_id", "")
    return found
