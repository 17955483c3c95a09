"""`vm-hosts/?op=place`: where a machine would go, without making it."""

from __future__ import annotations

from common.errors import InvalidRequest
from regiond.api import shapes
from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.fields import Choice, Field, Text, TextList
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import host_fields
from regiond.machines.model import AskedHosts
from regiond.machines.wishes import problems_of

_ARCHITECTURE = Field(
    name="architecture",
    kind=Text(
        longest=64,
        pattern="[a-z0-9]+(?:/generic)?",
        advice="Enter an architecture such as amd64/generic.",
        blank=None,
    ),
    doc="Such as amd64/generic; any.",
)
_LIKE_COMPOSE = {
    "cores",
    "memory",
    "cpu_speed",
    "storage",
    "interfaces",
    "pinned_cores",
    "pin_cores",
    "hugepages_backed",
    "hugepage_size",
    "one_numa_node",
}


def _several(name: str, doc: str, *, commas: bool = True) -> Field:
    return Field(name=name, kind=TextList(commas=commas, longest=256, most=256), default=(), doc=doc)


FIELDS = (
    *(one for one in host_fields.COMPOSE if one.name in _LIKE_COMPOSE),
    _ARCHITECTURE,
    _several("host", "Id or name of a VM host; when repeated, one of them.", commas=False),
    _several("zone", "Id or name of the host's zone; one of several."),
    _several("not_in_zone", "Id or name of a zone where the host is not."),
    _several("pool", "Id or name of the host's resource pool; one of several."),
    _several("not_in_pool", "Id or name of a resource pool where the host is not."),
    _several("tags", "Tags that the host has, all of them."),
    _several("not_tags", "Tags that the host has not, none of them."),
    Field(
        name="strategy",
        kind=Choice(choices=("spread", "pack")),
        doc="spread (most room left afterwards first) or pack (least first); as compose does.",
    ),
)


async def _place(call: Call) -> Reply:
    values = call.values
    request = host_fields.compute_of(values)
    wrong = problems_of(request)
    if wrong:
        raise InvalidRequest.of(wrong)
    asked = AskedHosts(
        hosts=values["host"],
        zones=values["zone"],
        not_in_zones=values["not_in_zone"],
        pools=values["pool"],
        not_in_pools=values["not_in_pool"],
        tags=values["tags"],
        not_tags=values["not_tags"],
        cpu_speed_mhz=values["cpu_speed"],
    )
    placement = await call.services.machines.dry_run(request, asked, strategy=values["strategy"])
    return json_reply(placement.as_explanation())


# For any user: it changes nothing, and says only what any user may read of hosts.
PLACE = Endpoint(
    method="POST",
    op="place",
    permission=Permission.USER,
    fields=FIELDS,
    title="Say where a machine would go",
    doc=(
        "A dry run of compose over all hosts that the filters let in: which host would be chosen, which storage pool "
        "each disk would get, and what every other host lacks, in numbers. Nothing is claimed or changed, and no host "
        "is asked. That nothing fits is an answer too: then chosen is null."
    ),
    result=Result(doc="The placement, as compose keeps it with its operation.", schema=shapes.PLACEMENT),
    run=_place,
)
