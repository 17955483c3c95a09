"""`events stream` as a separate process: lines as events arrive, and the next connection continues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.cli_region import Region, Reply, action, description, handler

EVENT = {
    "id": 7,
    "at": "2026-11-21T08:00:00Z",
    "level": "INFO",
    "description": "local was\nadded",
    "host_name": "local",
}
STREAM = handler(
    "EventsHandler", "events/",
    action("stream", "GET", op="stream", stream=True, doc="Follow.\n\n:param level: x\n:param duration: s"),
)  # fmt: skip


def sent(*ids: int) -> Reply:
    texts = [f"id: {one}\ndata: {json.dumps({**EVENT, 'id': one})}\n\n" for one in ids]
    return Reply(200, text=f"retry: 2000\nid: 6\n\n{''.join(texts)}: alive\nid: {max(ids, default=6)}\n\n")


@pytest.fixture
def streaming(region: Region) -> Region:
    region.described = description(extra=(STREAM,))
    return region


async def test_each_event_is_a_line_of_json(streaming: Region, logged_in: Cli) -> None:
    streaming.give("GET events/?op=stream&level=INFO&duration=1", sent(7, 8))
    ran = await logged_in("admin", "events", "stream", "level=INFO", "duration=1")
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == [7, 8]
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.slow
async def test_a_terminal_gets_one_line_of_text_for_each(streaming: Region, logged_in: Cli, home: Path) -> None:
    streaming.give("GET events/?op=stream&duration=1", sent(7))
    seen = await on_terminal(home, "admin", "events", "stream", "duration=1")
    assert "2026-11-21T08:00:00Z  INFO     local  local was" in seen.out


@pytest.mark.slow
async def test_the_next_connection_continues_after_the_last_event(streaming: Region, logged_in: Cli) -> None:
    """The first ends by itself, the second fails, the third is refused."""
    streaming.give("GET events/?op=stream", sent(7, 8), Reply(503, text="Not now."), Reply(403, text="Disabled."))
    ran = await logged_in("admin", "events", "stream")
    positions = [seen.headers.get("last-event-id") for seen in streaming.requests_to("GET events/?op=stream")]
    assert positions == [None, "8", "8"]
    assert (ran.status, ran.err) == (3, "Not now. Trying again every 2 s.\nDisabled.\n")


async def test_a_gap_is_reported_beside_the_events(streaming: Region, logged_in: Cli) -> None:
    gap = Reply(200, text='id: 4\nevent: reload\ndata: {"reason": "deleted"}\n\nid: 5\ndata: {"id": 5}\n\n')
    streaming.give("GET events/?op=stream&duration=1", gap)
    ran = await logged_in("admin", "events", "stream", "duration=1")
    assert ran.out == '{"id": 5}\n'
    assert "some are missing" in ran.err


async def test_a_refused_stream_is_an_error(streaming: Region, logged_in: Cli) -> None:
    streaming.give("GET events/?op=stream", Reply(429, text="Too many streams."))
    ran = await logged_in("admin", "events", "stream")
    assert (ran.status, ran.err) == (6, "Too many streams.\n")
    assert (await logged_in("admin", "events", "stream", "--watch")).status == 2
