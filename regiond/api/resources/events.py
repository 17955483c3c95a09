"""`events/?op=query`, newest first, and `events/stream`, oldest first and without an end."""

from __future__ import annotations

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api import crud
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.event_stream import LONGEST_S, stream_reply
from regiond.api.field_types import Choice, Integer
from regiond.api.fields import Field
from regiond.api.replies import Reply
from regiond.api.resources.lookups import HOST_FILTER, MACHINE_FILTER, past_host, past_machine
from regiond.api.serializers.events import EVENT_JSON, EVENT_PAGE_JSON, EventPage
from regiond.events.model import EventFilter, Level

_LARGEST_ID = 2**63 - 1
_LEVELS = {
    "DEBUG": (),
    "INFO": (),
    "WARNING": (Level.WARNING, Level.ERROR),
    "ERROR": (Level.ERROR,),
    "CRITICAL": (Level.ERROR,),
}


async def _filter(call: Call) -> EventFilter:
    values = call.values
    return EventFilter(
        levels=_LEVELS[values["level"]],
        host_id=await past_host(call.services, values["host"]),
        system_id=await past_machine(call.services, values["id"], field="id"),
        operation_id=values["operation"],
    )


async def _stream(call: Call) -> Reply:
    start, batches = await call.services.event_streams.open(
        call.caller, await _filter(call), after_id=_position(call), duration_s=call.values["duration"]
    )
    return stream_reply(start, batches)


def _position(call: Call) -> int | None:
    """The header is of a client that continues: newer than the field. Raises InvalidRequest."""
    last_id = call.last_event_id
    if last_id is None or not last_id.strip():
        after: int | None = call.values["after"]
        return after
    if not (last_id.isascii() and last_id.isdecimal()) or int(last_id) > _LARGEST_ID:
        raise InvalidRequest("Last-Event-ID: give the id of an event, a number.")
    return int(last_id)


async def _query(call: Call) -> EventPage:
    values = call.values
    page = evolve(await _filter(call), before_id=values["before"], after_id=values["after"], limit=values["limit"])
    found = await call.services.events.list(page, caller=call.caller)
    query = [(name, str(values[name])) for name in ("level", "limit", "host", "id", "operation") if values[name]]
    return EventPage(events=found, query=query)


_IGNORED = frozenset({"hostname", "mac_address", "zone", "domain", "agent_name", "owner"})  # that MAAS documents
_FILTERS = (
    Field(
        name="level",
        type=Choice(choices=tuple(_LEVELS)),
        default="INFO",
        doc=f"Minimum level: {', '.join(_LEVELS)} (default INFO).",
    ),
    HOST_FILTER,
    evolve(MACHINE_FILTER, name="id"),
    Field(name="operation", type=Integer(minimum=1, maximum=_LARGEST_ID), doc="Id of an operation."),
)
_STREAM = Endpoint(
    method="GET",
    op="stream",
    permission=Permission.USER,
    title="Stream events",
    doc=(
        "Server-sent events: the event log as it grows, oldest first, within about a second. The data of each is an "
        "object as in the list, the id is its id. A client that reconnects continues with the id of the last one, in "
        "the header Last-Event-ID or the field after. If events that followed it have been deleted, the first event is "
        "of the type reload, and the oldest stored one follows. Without a position, the stream starts with the next "
        "event. A comment every 15 seconds shows that the connection lives."
    ),
    fields=(
        *_FILTERS,
        Field(
            name="after",
            type=Integer(minimum=0, maximum=_LARGEST_ID),
            doc="Start with the first event after the one with this id; 0: with the oldest stored one.",
        ),
        Field(
            name="duration",
            type=Integer(minimum=0, maximum=LONGEST_S),
            default=LONGEST_S,
            doc=f"End after this many seconds (default {LONGEST_S}); 0: after the events that are stored.",
        ),
    ),
    accepted=_IGNORED,
    result=Result(doc="Events, each with its id and its data in JSON.", type=EVENT_JSON, is_stream=True),
    run=_stream,
)

EVENTS = Resource(
    handler="EventsHandler",
    path="events/",
    doc="Events of hosts, machines, racks and credentials.",
    endpoints=(
        crud.read(
            Result(doc="A page of events.", type=EVENT_PAGE_JSON),
            _query,
            op="query",
            title="List events",
            accepted=_IGNORED,
            doc="Newest first, with links to the older and the newer page. Events are stored for 90 days.",
            fields=(
                *_FILTERS,
                Field(
                    name="limit",
                    type=Integer(minimum=1, maximum=1000),
                    default=100,
                    doc="Maximum number of events (default 100).",
                ),
                Field(
                    name="before",
                    type=Integer(minimum=1, maximum=_LARGEST_ID),
                    doc="Only events older than the event with this id.",
                ),
                Field(
                    name="after",
                    type=Integer(minimum=0, maximum=_LARGEST_ID),
                    doc="Only events newer than the event with this id.",
                ),
            ),
        ),
        _STREAM,
    ),
)
STREAM = Resource(
    handler="EventStreamHandler",
    path="events/stream",
    doc="The events as they are recorded, the same as events/?op=stream.",
    described=False,
    endpoints=(evolve(_STREAM, op=None),),
)
RESOURCES = (EVENTS, STREAM)
