"""Receives spans by OTLP over HTTP in a thread, with OpenTelemetry's own definitions of the messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

from common.tracing.export import TraceOptions, open_tracer
from common.tracing.spans import Tracer


@define
class OtlpReceiver:
    url: str
    spans: list[Any] = field(factory=list)
    resources: list[Any] = field(factory=list)
    headers: list[Mapping[str, str]] = field(factory=list)

    def tracer(self, **options: Any) -> Tracer:
        """Exports to this receiver, all of it when it is stopped."""
        given = {"endpoint": self.url, "ratio": 1.0, "headers": None, "ca": None, **options}
        return open_tracer(TraceOptions(**given), service="regiond", instance="here")

    def named(self, name: str) -> Any:
        (found,) = [one for one in self.spans if one.name == name]
        return found


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                made.resources.append(resource.resource)
                made.spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = OtlpReceiver(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def attributes(span: Any) -> dict[str, str | int]:
    """The attributes of a received span or resource."""
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
