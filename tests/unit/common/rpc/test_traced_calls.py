"""Calls between daemons continue a trace, calls of clients begin one, and older peers do neither."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from attrs import frozen

from common.errors import HostUnreachable
from common.rpc.call_observer import UNOBSERVED, CallObserver
from common.rpc.commands.command import Command
from common.rpc.handlers import Handlers, Side
from common.rpc.link import Link
from common.rpc.peers import Peer
from common.rpc.traced_calls import TracedCalls
from common.tracing.spans import Kind, Tracer, active, below_current, current
from common.trust.certificates import Role
from tests.doubles.link_pair import link_pair
from tests.unit.support.otlp_receiver import OtlpReceiver, attributes, otlp_receiver


@frozen
class Text:
    text: str


READ = Command("test.read", Text, Text)
LIST = Command("test.list", Text, Text, streams=True)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as made:
        yield made


async def _read(_: Any, request: Text) -> Text:
    with below_current(f"work {request.text}", Kind.INTERNAL):
        if request.text == "unreachable":
            raise HostUnreachable("no route")
        return Text("traced" if current() else "not traced")


async def _list(_: Any, request: Text) -> AsyncGenerator[Text, None]:
    for _number in range(3):
        with below_current(f"work {request.text}", Kind.INTERNAL):
            yield request


async def linked(*, region: CallObserver, rack: CallObserver) -> Link:
    """The region's end."""
    handlers: Handlers = {READ: _read, LIST: _list}
    _, link = await link_pair(
        rack=Side(role=Role.RACK, name="r", handlers=handlers, observer=rack),
        region=Side(role=Role.REGION, name="g", observer=region),
    )
    return link


def traced(tracer: Tracer) -> TracedCalls:
    return TracedCalls(tracer, UNOBSERVED)


async def test_a_call_continues_the_trace_at_the_peer(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    link = await linked(region=traced(tracer), rack=traced(tracer))
    with active(tracer.serve("request", Kind.SERVER)):
        assert await link.call(READ, Text("a"), deadline_s=60) == Text("traced")
        with pytest.raises(HostUnreachable):
            await link.call(READ, Text("unreachable"), deadline_s=60)
    await tracer.stop()
    by_id = {one.span_id: one for one in receiver.spans}
    served = by_id[receiver.named("work a").parent_span_id]
    sent = by_id[served.parent_span_id]
    assert (sent.name, served.name, sent.kind, served.kind) == ("test.read", "test.read", 3, 2)
    assert sent.parent_span_id == receiver.named("request").span_id
    assert attributes(sent)["innkeeper.peer"] == "r"
    failed = by_id[receiver.named("work unreachable").parent_span_id]
    for one in (failed, by_id[failed.parent_span_id]):
        assert attributes(one)["error.type"] == "host_unreachable"


async def test_a_stream_is_one_span_and_never_current(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    link = await linked(region=traced(tracer), rack=traced(tracer))
    with active(tracer.serve("request", Kind.SERVER)) as request:
        async with aclosing(link.stream(LIST, Text("a"), deadline_s=60)) as items:
            async for _ in items:
                assert current() is request
    await tracer.stop()
    assert len([one for one in receiver.spans if one.name == "work a"]) == 3
    assert len([one for one in receiver.spans if one.name == "test.list"]) == 2


async def test_a_call_outside_a_trace_begins_none(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    link = await linked(region=traced(tracer), rack=traced(tracer))
    assert await link.call(READ, Text("a"), deadline_s=60) == Text("not traced")
    await tracer.stop()
    assert receiver.spans == []


async def test_a_peer_without_traces_answers_as_before(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    link = await linked(region=traced(tracer), rack=UNOBSERVED)
    with active(tracer.serve("request", Kind.SERVER)):
        assert await link.call(READ, Text("a"), deadline_s=60) == Text("not traced")
    await tracer.stop()
    assert receiver.named("test.read").kind == 3


@pytest.mark.parametrize(
    ("role", "ratio", "is_traced"),
    [(Role.CLIENT, 1.0, True), (Role.CLIENT, 0.0, False), (Role.RACK, 0.0, True), (Role.ANONYMOUS, 1.0, False)],
)
async def test_the_role_of_a_peer_decides_what_is_traced(
    receiver: OtlpReceiver, role: Role, ratio: float, is_traced: bool
) -> None:
    tracer = receiver.tracer(ratio=ratio)
    sent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    with traced(tracer).received("test.read", Peer(role=role, name="p"), sent):
        assert (current() is not None) is is_traced
    with traced(tracer).received("test.read", Peer(role=role, name="p"), ""):
        assert (current() is not None) is (role is Role.CLIENT and is_traced)
    await tracer.stop()
