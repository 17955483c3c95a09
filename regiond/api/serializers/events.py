"""JSON of events in MAAS's envelope, the only paginated collection."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from attrs import frozen

from regiond.api.declaration.serializer import INT, OBJECT, STR, Serializer, fields_of, key, nullable, serializer
from regiond.api.urls import uri
from regiond.events.model import Event, Level

_CREATED_FORMAT = "%a, %d %b. %Y %H:%M:%S"  # in UTC
_LEVEL = Serializer[Level](
    schema={"type": "string", "enum": [level.value.upper() for level in Level]},
    encode=lambda level: level.value.upper(),
)


@frozen(kw_only=True)
class EventPage:
    """A page of events. `query` has the filters of the request without the position; the links repeat them."""

    events: Sequence[Event]
    query: Sequence[tuple[str, str]]

    @property
    def next_uri(self) -> str | None:
        """Returns the URI of the page of older events."""
        return self._link("before", self.events[-1].id) if self.events else None

    @property
    def previous_uri(self) -> str | None:
        """Returns the URI of the page of newer events."""
        return self._link("after", self.events[0].id) if self.events else None

    def _link(self, position: str, event_id: int) -> str:
        return f"{uri('events')}?{urlencode([('op', 'query'), *self.query, (position, str(event_id))])}"


EVENT_JSON: Serializer[Event] = serializer(
    "Event",
    *fields_of(Event, "id level", level=_LEVEL),
    key("created", STR, lambda event: event.at.strftime(_CREATED_FORMAT)),
    key("type", STR, lambda event: event.kind.replace("_", " ").capitalize()),
    *fields_of(Event, "description=message node=system_id"),
    key("hostname", STR, lambda event: event.hostname or ""),
    key("username", STR, lambda event: event.username or ""),
    *fields_of(Event, "at kind host_id host_name operation_id"),
    key("rack_id", nullable(STR), lambda event: None if event.rack_id is None else str(event.rack_id)),
    key("details", OBJECT, lambda event: event.details),
)
EVENT_PAGE_JSON: Serializer[EventPage] = serializer(
    "Events",
    key("count", INT, lambda page: len(page.events)),
    *fields_of(EventPage, "events next_uri prev_uri=previous_uri", events=EVENT_JSON),
)
