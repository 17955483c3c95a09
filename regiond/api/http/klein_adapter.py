"""Connects the API to Klein, the only module that does: routes requests and writes replies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import structlog
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException

from common.errors import TooManyAttempts
from common.tracing.spans import NO_TRACES, Tracer
from regiond.api import errors
from regiond.api.compression import MIN_BYTES, accepts_gzip, compressed, is_of_another_site
from regiond.api.declaration.endpoint import Resource
from regiond.api.http import websocket
from regiond.api.http.channel import merged_slashes
from regiond.api.http.fixed_replies import health_reply, moved, not_found_text, ready_reply
from regiond.api.http.running_requests import RunningRequests, send_chunks, traced_reply
from regiond.api.http.site_request import (
    SiteRequest,
    body_bytes,
    header,
    method_of,
    op_in_form,
    read_request,
    request_id,
)
from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import knows_op
from regiond.api.replies import Reply, text_reply

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[Any, Any, Reply]]

_COMPRESSED_METHODS = frozenset({b"GET", b"HEAD"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A stream of events must not wait for more to compress; fonts are compressed already; files of VMs have a length.
_NOT_COMPRESSED = ("text/event-stream", "font/", "application/x-tar")
_PAGE = "text/html"
REFUSAL_DELAY_S = 0.5
WRONG_KEY_DELAY_S = 0.2
_LAST_NAME = re.compile(r"(.*/)\{\w+\}/?")
_PHRASES = {429: b"Too Many Requests"}  # Twisted does not know it


class _Key(NamedTuple):
    """Tells resources apart for the routing, which adapters share."""

    handler: str
    path: str
    takes_slashes: bool


class Pages(Protocol):
    """The web pages: `answers` are pairs of a routing rule and what answers it."""

    def answers(
        self,
    ) -> Iterable[tuple[str, Callable[[SiteRequest, Mapping[str, str]], Coroutine[Any, Any, Reply]]]]: ...
    def serves(self, target: bytes) -> bool: ...
    async def refusal(self, request: SiteRequest, *, body_bytes: int | None) -> Reply | None: ...


class Adapter:
    """Serves `resources`, the health pages, and the web pages if there are any."""

    def __init__(
        self,
        api: Api,
        resources: Iterable[Resource],
        pages: Pages | None = None,
        *,
        description_hash: str = "",
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._api = api
        self._tracer = tracer
        self._pages = pages
        self._resources = {_key(resource): resource for resource in resources}
        self._answers = dict(() if pages is None else pages.answers())  # by routing rule
        self.running = RunningRequests()
        self.headers = {  # of every answer
            "X-MAAS-API-Hash": description_hash,
            "Vary": "Authorization, Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        # Klein's way of serving one instance of a class: each handler gets the instance.
        self.app = _routing(tuple(self._resources), tuple(self._answers)).__get__(self, Adapter)

    async def refuses_body(self, request: SiteRequest, target: bytes) -> Reply | None:
        """None if the headers, or the query in `target`, name a caller who may log in; else the answer, late.

        That is who signed the request, or for a web page whose session the cookie is.
        """
        query = target.partition(b"?")[2].decode("utf-8", "surrogateescape")
        target = merged_slashes(target)
        with structlog.contextvars.bound_contextvars(request_id=request_id(request)):
            if self._pages is not None and self._pages.serves(target):
                refusal = await self._pages.refusal(request, body_bytes=body_bytes(request))
            else:
                admission = await self._api.authentication.admission(
                    header(request, "Authorization"), query, request.sender.address, body_bytes=body_bytes(request),
                    content_type=header(request, "Content-Type"),
                )  # fmt: skip
                refusal, request.unproven_bytes = admission.refusal, admission.unproven_bytes
        if refusal is not None:
            await asyncio.sleep(REFUSAL_DELAY_S)
        return refusal

    def serve_resource(
        self, key: _Key, request: SiteRequest, parts: dict[str, str], *, member: _Key | None, op_suffix: str | None
    ) -> Deferred[bytes]:
        """Serves the resource; its `member` if the operation in the path is none of its own, but an object's name."""
        resource = self._resources[key]
        if member is None or op_suffix is None or _has_op(resource, request, op_suffix):
            return self._serve(resource, request, parts, op_suffix=op_suffix)
        one = self._resources[member]
        return self._serve(one, request, {**parts, one.params[-1]: f"op-{op_suffix}"}, op_suffix=None)

    def serve_page(self, rule: str, request: SiteRequest, parts: dict[str, str]) -> Deferred[bytes]:
        changes = request.method.decode("ascii", "replace") not in _SAFE_METHODS
        request.name_endpoint(f"page {rule}")
        return self._reply(request, partial(self._answers[rule], request, parts), changes=changes)

    def serve_fixed(self, name: str, request: SiteRequest, work: Work) -> Deferred[bytes]:
        request.name_endpoint(name)
        return self._reply(request, work, changes=False, traced=False)  # load balancers read some every second

    def _serve(
        self, resource: Resource, request: SiteRequest, parts: dict[str, str], *, op_suffix: str | None
    ) -> Deferred[bytes]:
        method = request.method.decode("ascii", "replace")
        if op_suffix is None and method in _SAFE_METHODS and _lacks_slash(resource, request):
            return self._reply(request, partial(moved, request), changes=False)
        read = read_request(request, op_suffix=op_suffix)
        request.name_endpoint(resource.handler)  # until its operation is known
        work = partial(self._api.answer, resource, parts, read, request_id(request), on_endpoint=request.name_endpoint)
        return self._reply(request, work, changes=method not in _SAFE_METHODS)

    def _reply(self, request: SiteRequest, work: Work, *, changes: bool, traced: bool = True) -> Deferred[bytes]:
        request.place.enter()
        counted = partial(self._counted, request, work)
        answered = _answered(request, partial(traced_reply, self._tracer, request, counted) if traced else counted)
        reply = (self.running.uninterrupted if changes else self.running.interruptible)(answered, request)
        sent = reply.addCallback(lambda answered: self._send(request, answered))
        return sent.addBoth(partial(_left, request)).addErrback(_cancelled)

    async def _counted(self, request: SiteRequest, work: Work) -> Reply:
        """Counts a request that came through a proxy with those of its sender; others are counted by connection."""
        if request.sender.address != request.peer_address:
            try:
                self._api.open_requests.take_address(request.place, request.sender.address)
            except TooManyAttempts as error:
                return errors.reply_for(error)
        return await work()

    def _send(self, request: SiteRequest, reply: Reply) -> bytes | Deferred[bytes]:
        """Sets status and headers; returns the body, or sends its chunks, or takes over the connection."""
        if reply.upgrade is not None:
            accepted = websocket.accept(request)
            if not isinstance(accepted, Reply):
                return self.running.websocket(websocket.serve(request, accepted, reply.upgrade), request)
            reply = accepted
        is_plain = request.method not in _COMPRESSED_METHODS or reply.content_type.startswith(_NOT_COMPRESSED)
        is_plain = is_plain or (reply.chunks is None and len(reply.body) < MIN_BYTES)
        if reply.content_type.startswith(_PAGE):
            is_plain = is_plain or is_of_another_site(header(request, "Sec-Fetch-Site"))
        if not is_plain and accepts_gzip(header(request, "Accept-Encoding") or ""):
            reply = compressed(reply)
        body = self.write(request, reply)
        if reply.chunks is None:
            return body
        return self.running.interruptible(send_chunks(self._tracer, request, reply.chunks), request)

    def write(self, request: IRequest, reply: Reply) -> bytes:
        """Sets status and headers; returns the body. Chunks have no known length: HTTP/1.0 ends with the connection."""
        request.setResponseCode(reply.status, _PHRASES.get(reply.status))
        headers = {**self.headers, "Content-Type": reply.content_type, **reply.headers}
        if reply.status not in {204, 304} and reply.chunks is None:
            headers["Content-Length"] = str(len(reply.body))
        for name, value in headers.items():
            request.setHeader(name, value)
        return reply.body

    async def old_version(self) -> Reply:
        return text_reply("2.0")

    async def version_1(self) -> Reply:
        return text_reply("The 1.0 API is no longer available. Please use API version 2.0.", status=410)

    async def live(self) -> Reply:
        return text_reply("live")

    async def ready(self) -> Reply:
        return ready_reply(await self._api.info.health())

    async def details(self) -> Reply:
        return health_reply(await self._api.info.health())

    def routing_failed(self, request: Any, failure: Failure) -> bytes:
        try:
            self._api.limits.take_anonymous(request.sender.address)
        except TooManyAttempts as error:
            return self.write(request, errors.reply_for(error))
        found = failure.value
        status = 500
        text = str(found)
        if isinstance(found, HTTPException):
            status = found.code or 500
            text = not_found_text(request) if status == 404 else f"{found.name}: {found.description}"
        return self.write(request, text_reply(text, status=status))

    def crashed(self, request: IRequest, failure: Failure) -> bytes:
        id_ = request_id(request)
        log.error("request_crashed", request_id=id_, error=failure.getTraceback())
        return self.write(request, errors.unexpected(id_))


# What anyone may ask besides the API and the pages, by name: the rule of the path, and what answers.
_FIXED = {
    "old version": ("/MAAS/api/version/", Adapter.old_version),
    "version 1.0": ("/MAAS/api/1.0/<path:rest>", Adapter.version_1),
    "live": ("/healthz/live", Adapter.live),
    "ready": ("/healthz/ready", Adapter.ready),
    "health details": ("/healthz/details", Adapter.details),
}


@lru_cache(maxsize=4)
def _routing(resources: tuple[_Key, ...], rules: tuple[str, ...]) -> Klein:
    """Routes to the methods of an Adapter. To compile the rules takes 0.2 s, so the regions of one process share them.

    A rule matches the path with and without its final slash, so that only a GET is ever redirected.
    """
    app = Klein()

    def route(path: str, name: str, handle: Callable[..., Deferred[bytes]]) -> None:
        app.route(path, endpoint=name, strict_slashes=False, merge_slashes=False)(handle)

    members = _members(resources)
    for key in resources:
        path = key.path.replace("{", "<path:" if key.takes_slashes else "<").replace("}", ">")
        suffixed = (path if path.endswith("/") else path + "/") + "op-<_op>"
        route(path, f"{key.handler} {path}", _resource_handler(key, None))
        route(suffixed, f"{key.handler} {suffixed}", _resource_handler(key, members.get(key.path)))
    for name, (path, answer) in _FIXED.items():
        route(path, name, _fixed_handler(name, answer))
    for rule in rules:
        route(rule, f"page {rule}", _page_handler(rule))
    app.handle_errors(HTTPException)(Adapter.routing_failed)
    app.handle_errors(Exception)(Adapter.crashed)
    return app


def _resource_handler(key: _Key, member: _Key | None) -> Callable[..., Deferred[bytes]]:
    def handle(adapter: Adapter, request: SiteRequest, _op: str | None = None, **parts: str) -> Deferred[bytes]:
        return adapter.serve_resource(key, request, parts, member=member, op_suffix=_op)

    return handle


def _page_handler(rule: str) -> Callable[..., Deferred[bytes]]:
    def handle(adapter: Adapter, request: SiteRequest, **parts: str) -> Deferred[bytes]:
        return adapter.serve_page(rule, request, parts)

    return handle


def _fixed_handler(
    name: str, answer: Callable[[Adapter], Coroutine[Any, Any, Reply]]
) -> Callable[..., Deferred[bytes]]:
    def handle(adapter: Adapter, request: SiteRequest, **_: str) -> Deferred[bytes]:
        return adapter.serve_fixed(name, request, partial(answer, adapter))

    return handle


# A client may disconnect before a task runs: then the coroutine of the task must be the only one that exists.
async def _answered(request: SiteRequest, work: Work) -> Reply:
    """Who guesses keys, or is beyond its limits, waits, so that it cannot keep the event loop busy with refusals."""
    with structlog.contextvars.bound_contextvars(request_id=request_id(request)):
        reply = await work()
        if reply.status == 429:
            await _refuse_late(request, REFUSAL_DELAY_S)
        elif reply.status == 401 and header(request, "Authorization") is not None:
            await _refuse_late(request, WRONG_KEY_DELAY_S)
        return reply


async def _refuse_late(request: SiteRequest, delay_s: float) -> None:
    """Returns after the delay. Meanwhile the connection may end for another one: refusals must not take all of them."""
    channel: Any = request.channel
    if channel is None:  # disconnected
        return
    channel.is_refused = True
    try:
        await asyncio.sleep(delay_s)
    finally:
        channel.is_refused = False


def _left(request: SiteRequest, result: Any) -> Any:
    request.place.leave()
    return result


def _cancelled(failure: Failure) -> Any:
    """Translates asyncio's cancellation to Twisted's, which Klein takes for a disconnected client."""
    failure.trap(asyncio.CancelledError)
    raise CancelledError from failure.value


def _key(resource: Resource) -> _Key:
    return _Key(resource.handler, resource.full_path, resource.takes_slashes)


def _has_op(resource: Resource, request: SiteRequest, op: str) -> bool:
    """Whether the operation in the path is one of the resource, rather than the name of one of its objects."""
    return knows_op(resource, method_of(request), op) and not op_in_form(request)


def _lacks_slash(resource: Resource, request: IRequest) -> bool:
    return resource.path.endswith("/") and not request.path.endswith(b"/")


def _members(resources: Iterable[_Key]) -> dict[str, _Key]:
    """Returns the resource of one object for each path of a collection: `machines/{system_id}/` for `machines/`."""
    split = ((_LAST_NAME.fullmatch(key.path), key) for key in resources)
    return {matched[1]: key for matched, key in split if matched is not None}
