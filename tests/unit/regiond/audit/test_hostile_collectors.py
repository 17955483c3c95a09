"""Servers that the region sends to, and that answer without end: they take neither memory nor time of others."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from common.tracing.export import TraceOptions, open_tracer
from common.tracing.spans import Kind
from regiond.audit.export.model import parse_destination
from regiond.audit.export.senders import NotSent, Secrets, Sender, make_sender
from regiond.audit.model import RawEntry
from tests.bench.machine import peak_from_now, status_mib
from tests.doubles.hostile_server import CHUNKED, ENDLESS, HEADERS, endless_server
from tests.support.loop_pauses import LONGEST_S, watched_loop

MOST_MIB = 32
ENTRY = RawEntry(id=1, at=datetime.now(UTC), content=json.dumps({"a": 1}), previous_hash=b"", hash=b"x")
KINDS = pytest.mark.parametrize(
    ("head", "unit"),
    [(ENDLESS, "x" * 1000), (CHUNKED, "1\r\n \r\n"), (CHUNKED, "400\r\n" + "x" * 1024 + "\r\n"), (HEADERS, "A: b\r\n")],
    ids=["a body", "chunks of one byte", "chunks", "headers"],
)


@KINDS
async def test_a_web_server_of_the_audit_trail_is_cut(head: str, unit: str) -> None:
    with endless_server(head, unit) as port:
        before_mib = peak_from_now("self")
        async with watched_loop() as pauses:
            sender = make_sender(parse_destination(f"http://127.0.0.1:{port}/log"), Secrets())
            with pytest.raises(NotSent, match="answered with"):
                await sender.send([ENTRY])
            await sender.close()
    assert pauses.longest_s < LONGEST_S
    assert status_mib("self", "VmHWM") - before_mib < MOST_MIB


@KINDS
async def test_a_collector_of_traces_is_cut(head: str, unit: str) -> None:
    with endless_server(head, unit) as port:
        options = TraceOptions(endpoint=f"http://127.0.0.1:{port}", ratio=1.0, headers=None, ca=None)
        before_mib = peak_from_now("self")
        tracer = open_tracer(options, service="regiond", instance="here")
        async with watched_loop() as pauses:
            span = tracer.serve("request", Kind.SERVER)
            assert span is not None
            span.end()
            await tracer.stop()
            await asyncio.sleep(0)
    assert pauses.longest_s < LONGEST_S
    assert status_mib("self", "VmHWM") - before_mib < MOST_MIB


async def test_a_syslog_server_that_sends_is_cut() -> None:
    with endless_server("", "x") as port:
        sender = make_sender(parse_destination(f"syslog+tcp://127.0.0.1:{port}"), Secrets())
        await sender.send([ENTRY])
        async with asyncio.timeout(30):
            while not await _fails(sender):
                pass
        await sender.close()


async def _fails(sender: Sender) -> bool:
    await asyncio.sleep(0.01)
    try:
        await sender.send([ENTRY])
    except NotSent:
        return True
    return False
