"""`ipranges/` and `ipranges/{id}/`: addresses that no machine is given."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import network_shapes, schemas
from regiond.api.encoding.networks import encode_range
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Choice, Field, Text
from regiond.api.paths import id_in
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import NAME
from regiond.api.services import Services
from regiond.networks.model import IpRange, RangeChange

_ADDRESS = Text(longest=64, blank=None)
_COMMENT = Field(name="comment", kind=Text(longest=255), doc="Who has them, or what for.")
_NEW = (
    Field(
        name="type",
        kind=Choice(choices=("reserved", "dynamic")),
        required=True,
        doc="`reserved`: somebody has them. `dynamic`: a DHCP server hands them out.",
    ),
    Field(name="start_ip", kind=_ADDRESS, required=True, doc="The first address."),
    Field(name="end_ip", kind=_ADDRESS, required=True, doc="The last address."),
    Field(name="subnet", kind=NAME, doc="A subnet, by id or name; left out, it is the one that has the addresses."),
    _COMMENT,
)
_CHANGE = (
    Field(name="start_ip", kind=_ADDRESS, doc="The first address."),
    Field(name="end_ip", kind=_ADDRESS, doc="The last address."),
    _COMMENT,
)
_RESULT = Result(doc="The range.", schema=network_shapes.IP_RANGE)


async def _find(services: Services, path: Mapping[str, str]) -> IpRange:
    return await services.networks.range(id_in(path["id"], "IPRange"))


async def _list(call: Call) -> Reply:
    return json_reply([encode_range(one) for one in await call.services.networks.ranges()])


async def _create(call: Call) -> Reply:
    values = call.values
    made = await call.services.networks.create_range(
        call.caller,
        subnet=values["subnet"],
        type=values["type"],
        start_ip=values["start_ip"],
        end_ip=values["end_ip"],
        comment=values["comment"] or "",
    )
    return json_reply(encode_range(made))


async def _read(call: Call) -> Reply:
    return json_reply(encode_range(call.target))


async def _update(call: Call) -> Reply:
    found: IpRange = call.target
    changed = await call.services.networks.update_range(call.caller, found.id, RangeChange(**call.values))
    return json_reply(encode_range(changed))


async def _delete(call: Call) -> Reply:
    found: IpRange = call.target
    await call.services.networks.delete_range(call.caller, found.id)
    return empty_reply()


IP_RANGES = Resource(
    handler="IPRangesHandler",
    path="ipranges/",
    doc="Ranges of addresses that no machine is given: made by people, and learned from DHCP servers of hypervisors.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List address ranges",
            result=Result(doc="The ranges.", schema=schemas.array(network_shapes.IP_RANGE)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_NEW,
            title="Create an address range",
            result=_RESULT,
            run=_create,
        ),
    ),
)
IP_RANGE = Resource(
    handler="IPRangeHandler",
    path="ipranges/{id}/",
    doc="One range of addresses.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read an address range",
            result=_RESULT,
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_CHANGE,
            title="Update an address range",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete an address range",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (IP_RANGES, IP_RANGE)
