"""`events/?op=query`: what happened, newest first."""

from __future__ import annotations

from regiond.api import shapes
from regiond.api.encoding.events import encode_page
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Choice, Field, Integer, Text
from regiond.api.replies import Reply, json_reply
from regiond.events.model import EventFilter, Level

_LARGEST_ID = 2**63 - 1
_LEVELS = {
    "DEBUG": (),
    "INFO": (),
    "WARNING": (Level.WARNING, Level.ERROR),
    "ERROR": (Level.ERROR,),
    "CRITICAL": (Level.ERROR,),
}


async def _query(call: Call) -> Reply:
    values = call.values
    found = await call.services.events.list(
        EventFilter(
            levels=_LEVELS[values["level"]],
            host_id=values["host"],
            system_id=values["id"],
            operation_id=values["operation"],
            before_id=values["before"],
            after_id=values["after"],
            limit=values["limit"],
        )
    )
    asked = [(name, str(values[name])) for name in ("level", "limit", "host", "id", "operation") if values[name]]
    return json_reply(encode_page(found, asked))


EVENTS = Resource(
    handler="EventsHandler",
    path="events/",
    doc="What happened: to hosts, machines, racks and credentials.",
    endpoints=(
        Endpoint(
            method="GET",
            op="query",
            permission=Permission.USER,
            fields=(
                Field(
                    name="level",
                    kind=Choice(choices=tuple(_LEVELS)),
                    default="INFO",
                    doc=f"Only those of this level and above: {', '.join(_LEVELS)}.",
                ),
                Field(name="host", kind=Integer(), doc="Only those of the VM host with this id."),
                Field(name="id", kind=Text(longest=64, blank=None), doc="Only those of the machine's system id."),
                Field(name="operation", kind=Integer(least=1, most=_LARGEST_ID), doc="Only those of this operation."),
                Field(name="limit", kind=Integer(least=1, most=1000), default=100, doc="How many at most; 100."),
                Field(name="before", kind=Integer(least=1, most=_LARGEST_ID), doc="Only those older than this id."),
                Field(name="after", kind=Integer(least=0, most=_LARGEST_ID), doc="Those that follow this id."),
            ),
            title="List events",
            doc="The newest first, with links to the pages before and after. Events are kept for 90 days.",
            result=Result(doc="A page of events.", schema=shapes.EVENTS),
            run=_query,
        ),
    ),
)
