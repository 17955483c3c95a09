"""The spans of HTTP requests: one until the answer is known, and one below it while its chunks are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import structlog

from common.bodies.body_stream import send
from common.tracing.spans import Kind, Tracer, active
from regiond.api.http.site_request import SiteRequest, header, request_id
from regiond.api.replies import Reply


async def traced_reply(tracer: Tracer, request: SiteRequest, work: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
    """Returns the reply of `work`. A client may continue its trace, but does not decide that it is sampled."""
    method = request.method.decode("ascii", "replace")
    facts = {"http.request.method": method, "innkeeper.request_id": request_id(request)}
    traceparent = header(request, "traceparent") or ""
    with active(tracer.serve(method, Kind.SERVER, traceparent=traceparent, attributes=facts)) as span:
        if span is None:
            return await work()
        request.traceparent = span.traceparent
        reply = await work()
        span.describe({"http.route": request.endpoint}, name=f"{method} {request.endpoint}")
        span.describe({"http.response.status_code": reply.status})
        if reply.status >= 500:
            span.end(str(reply.status))
        return reply


# A client may disconnect before a task runs: then the coroutine of the task must be the only one that exists.
async def send_chunks(tracer: Tracer, request: SiteRequest, chunks: AsyncGenerator[bytes, None]) -> bytes:
    """Returns nothing more to send."""
    before = request.traceparent
    span = tracer.serve("send", Kind.INTERNAL, traceparent=before, trusted=True) if before else None
    with structlog.contextvars.bound_contextvars(request_id=request_id(request)), active(span):
        if request.method == b"HEAD":
            await chunks.aclose()
        else:
            await send(request, chunks)
    return b""
