"""Exports our spans by OTLP over HTTP: the one module that imports OpenTelemetry's SDK.

Import it only if traces are exported. It exports in a thread, from a queue of limited length: a collector that is slow
or away costs spans, never time of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import requests
import structlog
from attrs import frozen
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace import set_span_in_context as in_context

from common.bodies.bounded_body import BoundedBody, TooLarge, TooSlow
from common.rate_limit import RateLimiter
from common.release import running_release
from common.tracing.spans import NO_ATTRIBUTES, Attributes, Kind, Span
from common.tracing.traceparent import Traceparent

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

QUEUE_LENGTH = 4096  # spans, of about 2 kB each; the oldest are dropped
BATCH = 512
EXPORT_EVERY_S = 2.0
EXPORT_DEADLINE_S = 10.0
STOP_S = 3.0
LOG_EVERY_S = 60.0
_MAX_ANSWER_BYTES = 64 * 1024
_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT, Kind.INTERNAL: SpanKind.INTERNAL}
_NS = 1_000_000_000


@frozen(kw_only=True)
class Destination:
    """The receiver of the spans. `ca` names a file with the certificates to trust instead of requests' own list."""

    url: str
    headers: Mapping[str, str]
    ca: str | None


class OpenTelemetryTracer:
    """A Tracer. `service` is the name of the program, `instance` that of the rack or the region's computer."""

    def __init__(self, destination: Destination, *, service: str, instance: str, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)
        self._provider = TracerProvider(
            sampler=ParentBased(self._ratio),
            resource=Resource.create(
                {"service.name": service, "service.instance.id": instance, "service.version": running_release()}
            ),
            span_limits=SpanLimits(max_attributes=32, max_links=64, max_events=8, max_attribute_length=512),
            shutdown_on_exit=False,
        )
        self._exporter = _Exporter(destination)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=QUEUE_LENGTH,
                max_export_batch_size=BATCH,
                schedule_delay_millis=EXPORT_EVERY_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("innkeeper", running_release())
        self._stopping: threading.Thread | None = None

    def serve(
        self,
        name: str,
        kind: Kind,
        *,
        traceparent: str = "",
        trusted: bool = False,
        links: Iterable[str] = (),
        attributes: Attributes = NO_ATTRIBUTES,
    ) -> Span | None:
        parent = Traceparent.read(traceparent) if traceparent else None
        context = Context()
        if parent is not None:
            if not parent.sampled:
                return None
            if not trusted and not self._is_sampled(parent.trace_id, name):
                return None
            context = in_context(NonRecordingSpan(_span_context(parent)), context)
        return self._begin(name, kind, context, links, attributes)

    async def stop(self) -> None:
        if self._stopping is None:
            # The SDK waits up to 30 s for a collector that does not answer; this thread does not outlive the process.
            self._stopping = threading.Thread(target=self._provider.shutdown, name="traces-stop", daemon=True)
            self._stopping.start()
        await asyncio.to_thread(self._stopping.join, STOP_S)
        self._exporter.shutdown()  # else its thread would retry what is left in the queue for the rest of the 30 s

    def _is_sampled(self, trace_id: int, name: str) -> bool:
        return self._ratio.should_sample(None, trace_id, name).decision is Decision.RECORD_AND_SAMPLE

    def _begin(
        self, name: str, kind: Kind, context: Context, links: Iterable[str], attributes: Attributes
    ) -> Span | None:
        span = self._tracer.start_span(
            name, context, _KINDS[kind], attributes=dict(attributes), links=_links(links), record_exception=False
        )
        return _Span(self, span) if span.is_recording() else None


class _Span:
    def __init__(self, tracer: OpenTelemetryTracer, span: Any) -> None:
        self._owner = tracer
        self._span = span
        found: SpanContext = span.get_span_context()
        self._identity = Traceparent(trace_id=found.trace_id, span_id=found.span_id, sampled=True)

    @property
    def trace_id(self) -> str:
        return f"{self._identity.trace_id:032x}"

    @property
    def is_open(self) -> bool:
        return bool(self._span.is_recording())

    @property
    def traceparent(self) -> str:
        return str(self._identity)

    def child(
        self, name: str, kind: Kind, attributes: Attributes = NO_ATTRIBUTES, links: Iterable[str] = ()
    ) -> Span | None:
        if not self._span.is_recording():
            return None
        return self._owner._begin(name, kind, in_context(self._span, Context()), links, attributes)  # noqa: SLF001  # of this module

    def ended_child(self, name: str, kind: Kind, attributes: Attributes, *, took_s: float, code: str | None) -> None:
        ended_at = time.time_ns()
        began_at = ended_at - int(took_s * _NS)
        if self._span.end_time is not None and began_at > self._span.end_time:
            return
        span = self._owner._tracer.start_span(  # noqa: SLF001  # of this module
            name, in_context(self._span, Context()), _KINDS[kind], attributes=dict(attributes), start_time=began_at
        )
        _mark(span, code)
        span.end(ended_at)

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None:
        self._span.set_attributes(dict(attributes))
        if name is not None:
            self._span.update_name(name)

    def end(self, code: str | None = None) -> None:
        if self._span.is_recording():
            _mark(self._span, code)
            self._span.end()


class _Reason(logging.Filter):
    """Keeps messages of the exporter out of the log. The last two say why it has failed: it reports each try."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: deque[str] = deque(maxlen=2)

    @property
    def text(self) -> str:
        return " ".join(self._messages)

    def filter(self, record: logging.LogRecord) -> bool:
        self._messages.append(record.getMessage())
        return False


_REASON = _Reason()


class _Exporter:
    """OpenTelemetry's exporter, which logs a failure here, once a minute, instead of at each batch."""

    def __init__(self, destination: Destination, *, deadline_s: float = EXPORT_DEADLINE_S) -> None:
        self._exporter = otlp.OTLPSpanExporter(
            destination.url, certificate_file=destination.ca, headers=dict(destination.headers),
            timeout=deadline_s, compression=Compression.Gzip, session=_session(deadline_s),
        )  # fmt: skip
        logging.getLogger(otlp.__name__).addFilter(_REASON)
        self._failures = RateLimiter(every_s=LOG_EVERY_S)
        self._url = destination.url
        self._lost = 0
        self._is_shut_down = False

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if self._failures.allow(self._url):
                log.warning("traces_not_exported", url=self._url, reason=_REASON.text, lost_spans=self._lost)
                self._lost = 0
        return result

    def shutdown(self) -> None:
        if not self._is_shut_down:  # the SDK calls this, too
            self._is_shut_down = True
            self._exporter.shutdown()

    def force_flush(self, _: int = 0) -> bool:
        return True


def _session(deadline_s: float) -> requests.Session:
    """Returns a session that reads an answer up to its limit, and within the deadline: requests reads it to its end."""

    def check(response: requests.Response, **_: Any) -> None:
        body = BoundedBody(_MAX_ANSWER_BYTES, time.monotonic() + deadline_s)
        try:
            while data := response.raw.read1(_MAX_ANSWER_BYTES, decode_content=False):
                body.take(data)
        except (TooLarge, TooSlow) as error:
            raise requests.exceptions.RequestException(f"it answered with {error}") from error
        finally:
            response.close()
        response._content = b""  # noqa: SLF001  # what requests sets when it has read a body

    session = requests.Session()
    session.stream = True
    session.hooks["response"] = [check]
    return session


def _mark(span: Any, code: str | None) -> None:
    if code is not None:
        span.set_attribute("error.type", code)
        span.set_status(Status(StatusCode.ERROR))


def _links(traceparents: Iterable[str]) -> list[Link]:
    found = [Traceparent.read(text) for text in traceparents]
    return [Link(_span_context(one)) for one in found if one is not None]


def _span_context(of: Traceparent) -> SpanContext:
    return SpanContext(of.trace_id, of.span_id, is_remote=True, trace_flags=TraceFlags(int(of.sampled)))
