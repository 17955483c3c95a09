"""The calls of a link are counted at both ends, each with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from attrs import frozen
from prometheus_client import CollectorRegistry

from common.errors import DeadlineExceeded, HostUnreachable, InternalError
from common.process.call_metrics import MOST_PEERS, OTHER, CallMetrics
from common.rpc.commands.command import Command
from common.rpc.handlers import Handlers, Side
from common.rpc.link import Link
from common.trust.certificates import Role
from tests.doubles.link_pair import link_pair
from tests.support.waiting import eventually


@frozen
class Text:
    text: str


READ = Command("test.read", Text, Text)
LIST = Command("test.list", Text, Text, streams=True)


class Ends:
    """A region that calls a rack, and the registries of both."""

    def __init__(self) -> None:
        self.region_registry, self.rack_registry = CollectorRegistry(), CollectorRegistry()
        self.held = asyncio.Event()

    async def link(self) -> Link:
        handlers: Handlers = {READ: self._read, LIST: self._list}
        rack = Side(role=Role.RACK, name="r", handlers=handlers, observer=CallMetrics(self.rack_registry))
        region = Side(role=Role.REGION, name="g", observer=CallMetrics(self.region_registry))
        _, link = await link_pair(rack=rack, region=region)
        return link

    def sent(self, name: str, **labels: str) -> float | None:
        return self.region_registry.get_sample_value(f"innkeeper_rpc_call{name}", labels)

    def received(self, name: str, **labels: str) -> float | None:
        return self.rack_registry.get_sample_value(f"innkeeper_rpc_request{name}", labels)

    async def _read(self, _: Any, request: Text) -> Text:
        if request.text == "wait":
            await self.held.wait()
        if request.text == "bug":
            raise ValueError(request.text)
        if request.text == "unreachable":
            raise HostUnreachable("no route")
        return request

    async def _list(self, _: Any, request: Text) -> AsyncGenerator[Text, None]:
        for _number in range(3):
            yield request


async def test_a_call_is_counted_at_both_ends() -> None:
    ends = Ends()
    link = await ends.link()
    await link.call(READ, Text("x"), deadline_s=60)
    for end in (ends.sent, ends.received):
        assert end("s_total", command="test.read", outcome="ok") == 1
        assert end("_duration_seconds_count", command="test.read") == 1
        assert end("s_in_progress", command="test.read") == 0


async def test_a_call_is_counted_for_its_peer() -> None:
    ends = Ends()
    link = await ends.link()
    await link.call(READ, Text("x"), deadline_s=60)
    with pytest.raises(HostUnreachable):
        await link.call(READ, Text("unreachable"), deadline_s=60)
    counted = ends.region_registry.get_sample_value
    for outcome in ("ok", "host_unreachable"):
        assert counted("innkeeper_rpc_peer_calls_total", {"peer": "r", "outcome": outcome}) == 1
    assert counted("innkeeper_rpc_peer_call_duration_seconds_count", {"peer": "r"}) == 2


def test_peers_beyond_the_limit_are_one_series() -> None:
    registry = CollectorRegistry()
    metrics = CallMetrics(registry)
    for number in (*range(MOST_PEERS + 20), 0, MOST_PEERS):
        with metrics.sent("test.read", f"rack{number}"):
            pass
    counts = {
        one.labels["peer"]: one.value
        for each in registry.collect()
        for one in each.samples
        if one.name == "innkeeper_rpc_peer_calls_total"
    }
    assert len(counts) == MOST_PEERS
    assert (counts["rack0"], counts[OTHER]) == (2, 22)


async def test_the_outcome_is_the_code_of_the_error() -> None:
    ends = Ends()
    link = await ends.link()
    with pytest.raises(HostUnreachable):
        await link.call(READ, Text("unreachable"), deadline_s=60)
    with pytest.raises(InternalError):
        await link.call(READ, Text("bug"), deadline_s=60)
    for end in (ends.sent, ends.received):
        assert end("s_total", command="test.read", outcome="host_unreachable") == 1
        assert end("s_total", command="test.read", outcome="internal") == 1


async def test_a_call_without_a_response_has_missed_its_deadline() -> None:
    ends = Ends()
    link = await ends.link()
    calling = asyncio.create_task(link.call(READ, Text("wait"), deadline_s=0.05))
    await eventually(lambda: ends.received("s_in_progress", command="test.read") == 1)
    assert ends.sent("s_in_progress", command="test.read") == 1
    with pytest.raises(DeadlineExceeded):
        await calling
    assert ends.sent("s_total", command="test.read", outcome="deadline_exceeded") == 1
    await eventually(lambda: ends.received("s_total", command="test.read", outcome="cancelled") == 1)
    assert ends.received("s_in_progress", command="test.read") == 0


async def test_a_stream_is_one_call_until_its_last_item() -> None:
    ends = Ends()
    link = await ends.link()
    async with aclosing(link.stream(LIST, Text("x"), deadline_s=60)) as items:
        async for _ in items:
            assert ends.sent("s_in_progress", command="test.list") == 1
    assert ends.sent("s_total", command="test.list", outcome="ok") == 1
    assert ends.received("s_total", command="test.list", outcome="ok") == 1
    async with aclosing(link.stream(LIST, Text("x"), deadline_s=60)) as items:
        await anext(items)
    assert ends.sent("s_total", command="test.list", outcome="cancelled") == 1
