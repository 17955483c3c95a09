"""Events in the envelope that MAAS gives them, the only collection with pages; what it lacks stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from common.wire import to_plain
from regiond.api.encoding.operations import moment
from regiond.api.paths import uri
from regiond.events.model import Event

_MOMENT = "%a, %d %b. %Y %H:%M:%S"  # in UTC


def encode_event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "level": event.level.value.upper(),
        "created": event.at.strftime(_MOMENT),
        "type": event.kind.replace("_", " ").capitalize(),
        "description": event.message,
        "node": event.system_id,
        "hostname": event.hostname or "",
        "username": event.username or "",
        "at": moment(event.at),
        "kind": event.kind,
        "host_id": event.host_id,
        "host_name": event.host_name,
        "operation_id": event.operation_id,
        "rack_id": None if event.rack_id is None else str(event.rack_id),
        "details": to_plain(dict(event.details)),
    }


def encode_page(events: Sequence[Event], query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """`query`: what was asked, without the place of the page; the links lead to older and to newer ones."""

    def link(where: str, event_id: int) -> str:
        return f"{uri('events')}?{urlencode([('op', 'query'), *query, (where, str(event_id))])}"

    return {
        "count": len(events),
        "events": [encode_event(event) for event in events],
        "next_uri": link("before", events[-1].id) if events else None,
        "prev_uri": link("after", events[0].id) if events else None,
    }
