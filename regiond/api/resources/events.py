"""`events/?op=query`: the audit trail, newest first."""

from __future__ import annotations

from attrs import evolve

from regiond.api import crud
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import Choice, Integer
from regiond.api.fields import Field
from regiond.api.resources.lookups import HOST_FILTER, MACHINE_FILTER, past_host, past_machine
from regiond.api.serializers.events import EVENT_PAGE_JSON, EventPage
from regiond.events.model import EventFilter, Level

_LARGEST_ID = 2**63 - 1
_LEVELS = {
    "DEBUG": (),
    "INFO": (),
    "WARNING": (Level.WARNING, Level.ERROR),
    "ERROR": (Level.ERROR,),
    "CRITICAL": (Level.ERROR,),
}


async def _query(call: Call) -> EventPage:
    values = call.values
    found = await call.services.events.list(
        EventFilter(
            levels=_LEVELS[values["level"]],
            host_id=await past_host(call.services, values["host"]),
            system_id=await past_machine(call.services, values["id"], field="id"),
            operation_id=values["operation"],
            before_id=values["before"],
            after_id=values["after"],
            limit=values["limit"],
        ),
        caller=call.caller,
    )
    query = [(name, str(values[name])) for name in ("level", "limit", "host", "id", "operation") if values[name]]
    return EventPage(events=found, query=query)


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
            accepted=frozenset({"hostname", "mac_address", "zone", "domain", "agent_name", "owner"}),
            doc="Newest first, with links to the older and the newer page. Events are stored for 90 days.",
            fields=(
                Field(
                    name="level",
                    type=Choice(choices=tuple(_LEVELS)),
                    default="INFO",
                    doc=f"Minimum level: {', '.join(_LEVELS)} (default INFO).",
                ),
                HOST_FILTER,
                evolve(MACHINE_FILTER, name="id"),
                Field(name="operation", type=Integer(minimum=1, maximum=_LARGEST_ID), doc="Id of an operation."),
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
    ),
)
