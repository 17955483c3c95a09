"""`attention/`: all that needs attention, and how much of each kind."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import serve
from regiond.api.resources.shared.filter_values import checked_filters
from regiond.api.resources.shared.lookups import HOST_FILTER, host_in_field
from regiond.api.serializers.attention import ATTENTION_COUNTS_JSON, ATTENTION_JSON
from regiond.attention.model import AttentionFilter, AttentionItem, AttentionKind
from regiond.attention.service import MOST_OF_KIND

_KINDS = tuple(kind.value for kind in AttentionKind)


async def _list(call: Call) -> tuple[AttentionItem, ...]:
    values = await checked_filters(call.services, call.values)
    wanted = AttentionFilter(
        kinds=(AttentionKind(values["kind"]),) if values["kind"] else (),
        zones=tuple(values["zone"]),
        pools=tuple(values["pool"]),
        host_id=await host_in_field(call.services, values["host"]),
    )
    return await call.services.attention.items(wanted, caller=call.caller)


ATTENTION = Resource(
    handler="AttentionHandler",
    path="attention/",
    doc="All that needs attention: broken VMs and hosts, limits nearly reached, certificates that expire.",
    endpoints=(
        crud.list_of(
            ATTENTION_JSON,
            _list,
            title="List what needs attention",
            expensive=True,
            doc=(
                "Of the VMs, hosts and quotas that the caller sees; of racks, discrepancies and the API for "
                f"administrators. Of each kind at most {MOST_OF_KIND:,}, broken ones and new ones first. `severity` is "
                "broken (something does not work) or caution; `remedy` says what helps; `since` is null if it is not "
                "known."
            ),
            fields=(
                Field("kind", Choice(choices=_KINDS), f"Only this kind: {', '.join(_KINDS)}."),
                Field("zone", TextList(), "Only of the zone with this id or name; may be repeated.", default=()),
                Field(
                    "pool", TextList(), "Only of the resource pool with this id or name; may be repeated.", default=()
                ),
                HOST_FILTER,
            ),
            result="What needs attention, by kind.",
        ),
        crud.read(
            Result(doc="The numbers.", type=ATTENTION_COUNTS_JSON),
            serve(lambda s: s.attention.counts),
            op="counts",
            title="Count what needs attention",
            doc="How much of each kind the caller sees, without the limit of the list; `broken` of all.",
        ),
    ),
)
