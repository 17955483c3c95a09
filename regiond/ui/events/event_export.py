"""The events that match the filters as a file: CSV for spreadsheets, or one JSON object in each line."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

from attrs import evolve, frozen

from regiond.api.serializers.events import EVENT_JSON
from regiond.events.model import Event, EventFilter
from regiond.ui.lists.csv_lines import CSV, csv_lines
from regiond.ui.rendering.page import Visit
from regiond.ui.views.formats import iso

BATCH = 1000  # events of one query
_COLUMNS = ("id", "at", "level", "kind", "message", "host", "vm", "task", "rack", "user")


@frozen(kw_only=True)
class Format:
    """A kind of file: its media type, the line before all events, and the lines of some."""

    media_type: str
    suffix: str
    head: str
    lines: Callable[[Iterable[Event]], str]


def _csv_lines(events: Iterable[Event]) -> str:
    return csv_lines(
        (
            one.id, iso(one.at), one.level.value, one.kind, one.message, one.host_name or one.host_id,
            one.hostname or one.system_id, one.operation_id, one.rack_id, one.username,
        )
        for one in events
    )  # fmt: skip


def _json_lines(events: Iterable[Event]) -> str:
    return "".join(json.dumps(EVENT_JSON.encode(one), default=str) + "\n" for one in events)


FORMATS: Mapping[str, Format] = {
    "csv": Format(media_type=CSV, suffix="csv", head=csv_lines([_COLUMNS]), lines=_csv_lines),
    "json": Format(media_type="application/x-ndjson", suffix="jsonl", head="", lines=_json_lines),
}


async def exported(visit: Visit, wanted: EventFilter, file: Format) -> AsyncGenerator[bytes, None]:
    """All events that match, the newest first, a batch at a time."""
    yield file.head.encode()
    batch = evolve(wanted, limit=BATCH)
    while events := await visit.services.events.list(batch, caller=visit.caller):
        yield file.lines(events).encode("utf-8", "replace")
        batch = evolve(batch, before_id=events[-1].id)
