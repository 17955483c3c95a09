"""`events/?op=query`, newest first, and `events/stream`, oldest first and without an end."""

from __future__ import annotations

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.event_stream import LONGEST_S, stream_reply
from regiond.api.declaration.field_types import Choice, Integer, Text, TextList, Timestamp
from regiond.api.declaration.fields import Field
from regiond.api.declaration.request_cost import with_any_of
from regiond.api.replies import Reply
from regiond.api.resources.machines.machine_filters import other_domains
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.lookups import HOST_FILTER, MACHINE_FILTER, past_host, past_machine
from regiond.api.serializers.events import EVENT_JSON, EVENT_PAGE_JSON, EventPage
from regiond.events.model import AT_LEAST, EventFilter
from regiond.machines.values.criteria import MachineCriteria, Traits
from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Permission

_LARGEST_ID = 2**63 - 1


async def _filter(call: Call) -> EventFilter:
    values = call.values
    return EventFilter(
        levels=AT_LEAST[values["level"]],
        host_id=await past_host(call.services, values["host"]),
        system_ids=await _machines(call),
        operation_id=values["operation"],
        kinds=values["kind"],
        username=values["user"],
        text=values["q"],
        since=values["since"],
        until=values["until"],
    )


async def _machines(call: Call) -> tuple[str, ...] | None:
    """Returns the machine that `id` names, maybe deleted, if it matches the other filters; None: all events."""
    services, values = call.services, await checked_filters(call.services, call.values)
    named = await past_machine(services, values["id"], field="id")
    if not any(values[one.name] for one in _OF_MACHINES):
        return None if named is None else (named,)
    wanted = MachineFilter(
        hostnames=values["hostname"],
        mac_addresses=values["mac_address"],
        zones=values["zone"],
        agent_names=values["agent_name"],
        criteria=MachineCriteria(wanted=Traits(owners=values["owner"], unknown=other_domains(values["domain"]))),
    )
    found = await services.machines.system_ids(wanted, caller=call.caller)
    return tuple(one for one in found if named in {None, one})


async def _stream(call: Call) -> Reply:
    start, batches = await call.services.event_streams.open(
        call.caller, await _filter(call), after_id=_position(call), duration_s=call.values["duration"]
    )
    return stream_reply(start, batches)


def _position(call: Call) -> int | None:
    """Returns the position: the header of a client that reconnects, which is newer than the field, else the field.

    Raises InvalidRequest.
    """
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
    single = ("level", "limit", "host", "id", "operation", "user", "q")
    query = [(name, str(values[name])) for name in single if values[name]]
    query += [(name, values[name].isoformat()) for name in ("since", "until") if values[name]]
    query += [("kind", kind) for kind in values["kind"]]
    query += [(one.name, value) for one in _OF_MACHINES for value in values[one.name]]
    return EventPage(events=found, query=query)


_OF_MACHINES = tuple(
    Field(name, TextList(), f"Only events of machines {doc}; may be repeated.", default=())
    for name, doc in (
        ("hostname", "with this hostname"),
        ("mac_address", "with a NIC of this MAC address"),
        ("zone", "in the zone with this id or name"),
        ("domain", "in the domain with this name"),
        ("agent_name", "that this agent allocated"),
        ("owner", "that this user owns"),
    )
)
_FILTERS = (
    Field(
        "level",
        Choice(choices=tuple(AT_LEAST)),
        f"Minimum level: {', '.join(AT_LEAST)} (default INFO).",
        default="INFO",
    ),
    HOST_FILTER,
    evolve(MACHINE_FILTER, name="id"),
    Field("operation", Integer(minimum=1, maximum=_LARGEST_ID), "Id of an operation."),
    Field("kind", TextList(), "Only events of this kind, such as host_added; may be repeated.", default=()),
    Field("user", Text(max_length=255, blank=None), "Name of the user who caused them."),
    Field("q", Text(max_length=255, blank=None), "Text in their description, in any case."),
    Field("since", Timestamp(), "Only events since this time (ISO 8601, without an offset UTC)."),
    Field("until", Timestamp(), "Only events before this time."),
    *_OF_MACHINES,
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
            "after",
            Integer(minimum=0, maximum=_LARGEST_ID),
            "Start with the first event after the one with this id; 0: with the oldest stored one.",
        ),
        Field(
            "duration",
            Integer(minimum=0, maximum=LONGEST_S),
            f"End after this many seconds (default {LONGEST_S}); 0: after the events that are stored.",
            default=LONGEST_S,
        ),
    ),
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
            expensive=with_any_of(*(one.name for one in _FILTERS)),
            doc="Newest first, with links to the older and the newer page. Events are stored for 90 days.",
            fields=(
                *_FILTERS,
                Field(
                    "limit", Integer(minimum=1, maximum=1000), "Maximum number of events (default 100).", default=100
                ),
                Field(
                    "before", Integer(minimum=1, maximum=_LARGEST_ID), "Only events older than the event with this id."
                ),
                Field(
                    "after", Integer(minimum=0, maximum=_LARGEST_ID), "Only events newer than the event with this id."
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
