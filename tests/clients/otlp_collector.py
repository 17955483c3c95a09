"""Rotel, an OpenTelemetry collector, as a process: it receives OTLP over HTTP and prints the spans."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field, frozen

from tests.clients.environment import CHECKOUT
from tests.support.ports import free_port

_SPAN = re.compile(r"^Span #\d+$", re.MULTILINE)
_FIELD = re.compile(r"^    ([A-Z][A-Za-z ]+?) *: ?(.*)$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ +-> ([\w.]+): \w+\((.*)\)$", re.MULTILINE)


@frozen(kw_only=True)
class CollectedSpan:
    """A span as the collector has understood it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    attributes: dict[str, str]
    text: str  # all that the collector printed of it


@define
class Collector:
    url: str
    output: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def spans(self) -> list[CollectedSpan]:
        """Returns the spans that have arrived, in the order of their arrival."""
        found: list[CollectedSpan] = []
        for resource in self.output.read_text("utf-8", "replace").split("ResourceSpans #")[1:]:
            head, *spans = _SPAN.split(resource)
            service = dict(_ATTRIBUTE.findall(head))["service.name"]
            found.extend(_span(service, text) for text in spans)
        return found

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        return [one for one in self.spans() if one.trace_id == trace_id]


@contextmanager
def collector(folder: Path) -> Iterator[Collector]:
    """Runs until the end of the block. The test is skipped where the program is not installed."""
    found = sorted((CHECKOUT / ".venv-clients/lib").glob("python*/site-packages/rotel/rotel-agent"))
    if not found:
        pytest.skip("requires rotel in .venv-clients: ./dev test installs it")
    port, output = free_port(), folder / "collector.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            (
                str(found[0]), "start", "--exporter", "blackhole", "--debug-log", "traces",
                "--debug-log-verbosity", "detailed", "--otlp-http-endpoint", f"127.0.0.1:{port}",
                "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}",
            ),
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
        )  # fmt: skip
        try:
            yield Collector(url=f"http://127.0.0.1:{port}", output=output, process=process)
        finally:
            process.terminate()
            process.wait(30)


def _span(service: str, text: str) -> CollectedSpan:
    fields = dict(_FIELD.findall(text))
    return CollectedSpan(
        service=service,
        name=fields["Name"],
        kind=fields["Kind"].removeprefix("SPAN_KIND_"),
        trace_id=fields["Trace ID"],
        span_id=fields["ID"],
        parent_id=fields["Parent ID"],
        status=fields["Status code"].removeprefix("STATUS_CODE_"),
        attributes=dict(_ATTRIBUTE.findall(text)),
        text=text,
    )
