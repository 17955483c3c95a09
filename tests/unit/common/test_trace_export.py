"""Traces are off without the setting, and a collector that is away or slow costs the daemon spans only."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.errors import BadSettings
from common.tracing.export import TraceOptions, open_tracer
from common.tracing.spans import NO_TRACES, Kind, Tracer

_LOADED = """
import sys
import rackd.service, rackd.__main__, regiond.service, regiond.__main__
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
_MISSING = """
import sys
sys.modules["opentelemetry"] = None
from common.tracing.export import TraceOptions, open_tracer
open_tracer(TraceOptions(endpoint="http://127.0.0.1:1", ratio=1.0, headers=None, ca=None), service="a", instance="b")
"""


def made(**options: Any) -> Tracer:
    given = {"endpoint": "http://127.0.0.1:4318", "ratio": 1.0, "headers": None, "ca": None, **options}
    return open_tracer(TraceOptions(**given), service="regiond", instance="here")


def ran(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow  # the import takes 2 s
def test_daemons_do_not_import_opentelemetry() -> None:
    assert ran(_LOADED).stdout == "[]\n"
    assert made(endpoint=None) is NO_TRACES


def test_the_setting_without_the_extra_names_it() -> None:
    assert "opentelemetry is not installed: install innkeeper[traces]." in ran(_MISSING).stderr


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4318", "ftp://a", "http://", "http://user:s3cret@a", "https://a/?token=s3cret", "http://[a"]
)
def test_an_endpoint_that_is_none_is_rejected(endpoint: str) -> None:
    with pytest.raises(BadSettings, match="traces_endpoint") as found:
        made(endpoint=endpoint)
    assert "s3cret" not in str(found.value)


def test_files_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("Bearer s3cret\n")
    for name in ("bad", "missing"):
        with pytest.raises(BadSettings, match="traces_headers") as found:
            made(headers=tmp_path / name)
        assert "s3cret" not in str(found.value)
        with pytest.raises(BadSettings, match="traces_ca"):
            made(ca=tmp_path / name)


async def test_a_collector_that_never_answers_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.tracing import opentelemetry_tracer as tracing

    monkeypatch.setattr(tracing, "STOP_S", 0.1)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        tracer = made(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        longest_s = 0.0
        for _ in range(3 * tracing.QUEUE_LENGTH):
            began_at = time.thread_time()
            span = tracer.serve("request", Kind.SERVER)
            assert span is not None
            span.end()
            longest_s = max(longest_s, time.thread_time() - began_at)
        began_at = time.monotonic()
        await tracer.stop()
        took_s = time.monotonic() - began_at
    assert longest_s < 0.5, "CPU of this thread, which would be the event loop's"
    assert took_s < 8, "far below the deadline of an export and of the SDK"
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("asyncio"):
            thread.join(8)
            assert not thread.is_alive(), f"{thread.name} ends with the connection, however much is in the queue"


@pytest.mark.slow
async def test_lost_spans_are_logged_once_a_minute() -> None:
    from common.tracing.opentelemetry_tracer import Destination, _Exporter

    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1/traces"
    exporter = _Exporter(Destination(url=url, headers={}, ca=None), deadline_s=2.5)
    with capture_logs() as logs:
        exporter.export([])
        exporter.export([])
    exporter.shutdown()
    (line,) = logs
    assert (line["event"], line["log_level"], line["url"]) == ("traces_not_exported", "warning", url)
    assert "refused" in line["reason"]
