"""Spans nest in their tasks, end with the code of an error, and reach a receiver by OTLP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest
from structlog.contextvars import get_contextvars

from common.errors import HostUnreachable
from common.tracing.spans import NO_TRACES, Kind, active, below_current, current, current_traceparent, of_batch
from common.tracing.traceparent import Traceparent
from regiond.process.batcher import Batcher
from tests.unit.support.otlp_receiver import OtlpReceiver, attributes, otlp_receiver

SAMPLED = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as made:
        yield made


async def test_blocks_are_below_each_other_and_in_the_log(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    with active(tracer.serve("request", Kind.SERVER, attributes={"http.request.method": "GET"})) as root:
        assert root is not None
        assert get_contextvars()["trace_id"] == root.trace_id
        with below_current("work", Kind.INTERNAL):
            await asyncio.gather(*(_call(name) for name in ("a", "b")))
    assert "trace_id" not in get_contextvars()
    assert current() is None
    await tracer.stop()
    request, work = receiver.named("request"), receiver.named("work")
    assert work.parent_span_id == request.span_id
    assert {receiver.named(name).parent_span_id for name in ("a", "b")} == {work.span_id}
    assert len({one.trace_id for one in receiver.spans}) == 1
    assert attributes(request) == {"http.request.method": "GET"}
    assert attributes(receiver.resources[0])["service.instance.id"] == "here"


async def _call(name: str) -> None:
    with below_current(name, Kind.CLIENT):
        await asyncio.sleep(0)


async def test_an_error_is_recorded_by_its_code_only(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    with pytest.raises(HostUnreachable), active(tracer.serve("request", Kind.SERVER)), below_current("a", Kind.CLIENT):
        raise HostUnreachable("the password is s3cret")
    await tracer.stop()
    for span in receiver.spans:
        assert attributes(span) == {"error.type": "host_unreachable"}
        assert b"s3cret" not in span.SerializeToString()


async def test_a_task_that_lives_on_is_no_part_of_the_trace(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    with active(tracer.serve("request", Kind.SERVER)) as span:
        later = copy_context()
    assert span is not None

    def live_on() -> str:
        with below_current("later", Kind.INTERNAL):
            span.ended_child("statement", Kind.CLIENT, {}, took_s=0.0, code=None)
            return current_traceparent()

    assert later.run(live_on) == ""
    await tracer.stop()
    assert [one.name for one in receiver.spans] == ["request"]


async def test_a_statement_that_ends_with_its_request_is_recorded(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()
    with active(tracer.serve("request", Kind.SERVER)) as span:
        pass
    assert span is not None
    span.ended_child("commit", Kind.CLIENT, {}, took_s=60.0, code="40P01")  # asyncpg reports it a moment later
    await tracer.stop()
    commit = receiver.named("commit")
    assert commit.parent_span_id == receiver.named("request").span_id
    assert commit.end_time_unix_nano - commit.start_time_unix_nano == 60 * 10**9


async def test_without_a_tracer_nothing_is_current() -> None:
    with active(NO_TRACES.serve("request", Kind.SERVER)), below_current("work", Kind.INTERNAL) as span:
        assert span is None
        assert current_traceparent() == ""


async def test_a_client_continues_a_trace_but_does_not_sample_it(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer(ratio=0.0)
    assert tracer.serve("a", Kind.SERVER, traceparent=SAMPLED) is None
    trusted = tracer.serve("b", Kind.SERVER, traceparent=SAMPLED, trusted=True)
    assert trusted is not None
    assert trusted.trace_id == SAMPLED.split("-")[1]
    all_of_them = receiver.tracer()
    continued = all_of_them.serve("c", Kind.SERVER, traceparent=SAMPLED)
    assert continued is not None
    assert continued.trace_id == SAMPLED.split("-")[1]
    assert all_of_them.serve("d", Kind.SERVER, traceparent=SAMPLED[:-1] + "0") is None
    for one in (tracer, all_of_them):
        await one.stop()


async def test_a_batch_is_below_its_first_request_and_linked(receiver: OtlpReceiver) -> None:
    tracer = receiver.tracer()

    async def process(_: object) -> list[int | Exception]:
        with below_current("work", Kind.INTERNAL):
            return [1, 2]

    batcher: Batcher[int, int] = Batcher(process, limit=2, name="batch")

    async def request(number: int) -> int:
        with active(tracer.serve(f"request {number}", Kind.SERVER)):
            return await batcher.submit(number)

    answers = await asyncio.gather(request(0), request(1))
    assert list(answers) == [1, 2]
    await tracer.stop()
    batch = receiver.named("batch")
    assert batch.parent_span_id == receiver.named("request 0").span_id
    assert [link.span_id for link in batch.links] == [receiver.named("request 1").span_id]
    assert receiver.named("work").parent_span_id == batch.span_id


def test_a_batch_of_untraced_requests_has_no_span() -> None:
    with of_batch("batch", [None, None]):
        assert current() is None


async def test_headers_of_the_file_are_sent(receiver: OtlpReceiver, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer s3cret\n\nX-Scope-OrgID: 1\n")
    tracer = receiver.tracer(headers=tmp_path / "headers")
    with active(tracer.serve("request", Kind.SERVER)):
        pass
    await tracer.stop()
    assert receiver.headers[0]["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    "text",
    [
        "", "00", SAMPLED + "-more", SAMPLED.upper(), "ff" + SAMPLED[2:], SAMPLED.replace("0123456789abcdef", "0" * 16),
        SAMPLED + "\n", "01" + SAMPLED[2:] + "-" + "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    assert Traceparent.read(text) is None


@pytest.mark.parametrize("text", [SAMPLED, SAMPLED[:-1] + "0", "cc" + SAMPLED[2:] + "-later versions say more"])
def test_a_traceparent_is_read_and_written(text: str) -> None:
    read = Traceparent.read(text)
    assert read is not None
    assert str(read) == "00" + text[2:55]
