"""`ipranges/` and `ipranges/{id}/`: addresses that Innkeeper assigns to no machine."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Choice, Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import NAME
from regiond.api.serializer import array
from regiond.api.serializers.networks import IP_RANGE_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.networks.model import IpRange, RangeChange

_ADDRESS = Text(max_length=64, blank=None)
_COMMENT = Field(name="comment", type=Text(max_length=255), doc="What the addresses are for.")
_NEW = (
    Field(
        name="type",
        type=Choice(choices=("reserved", "dynamic")),
        required=True,
        doc="reserved: used by something else. dynamic: assigned by a DHCP server.",
    ),
    Field(name="start_ip", type=_ADDRESS, required=True, doc="The first address."),
    Field(name="end_ip", type=_ADDRESS, required=True, doc="The last address."),
    Field(name="subnet", type=NAME, doc="Id or name of the subnet (default: the subnet that contains the addresses)."),
    _COMMENT,
)
_CHANGE = (
    Field(name="start_ip", type=_ADDRESS, doc="The first address."),
    Field(name="end_ip", type=_ADDRESS, doc="The last address."),
    _COMMENT,
)
_RESULT = Result(doc="The range.", type=IP_RANGE_JSON)


async def _find(services: Services, path: Mapping[str, str]) -> IpRange:
    return await services.networks.range(id_in(path["id"], "IPRange"))


async def _list(call: Call) -> Reply:
    return json_reply([IP_RANGE_JSON.encode(one) for one in await call.services.networks.ranges()])


async def _create(call: Call) -> Reply:
    values = call.values
    created = await call.services.networks.create_range(
        call.caller,
        subnet=values["subnet"],
        type=values["type"],
        start_ip=values["start_ip"],
        end_ip=values["end_ip"],
        comment=values["comment"] or "",
    )
    return json_reply(IP_RANGE_JSON.encode(created))


async def _read(call: Call) -> Reply:
    return json_reply(IP_RANGE_JSON.encode(call.target))


async def _update(call: Call) -> Reply:
    found: IpRange = call.target
    changed = await call.services.networks.update_range(call.caller, found.id, RangeChange(**call.values))
    return json_reply(IP_RANGE_JSON.encode(changed))


async def _delete(call: Call) -> Reply:
    found: IpRange = call.target
    await call.services.networks.delete_range(call.caller, found.id)
    return empty_reply()


IP_RANGES = Resource(
    handler="IPRangesHandler",
    path="ipranges/",
    doc="IP ranges that Innkeeper assigns to no machine: created by users, or discovered on hosts.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List IP ranges",
            result=Result(doc="The ranges.", type=array(IP_RANGE_JSON)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_NEW,
            title="Create an IP range",
            result=_RESULT,
            run=_create,
        ),
    ),
)
IP_RANGE = Resource(
    handler="IPRangeHandler",
    path="ipranges/{id}/",
    doc="One IP range.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read an IP range",
            result=_RESULT,
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_CHANGE,
            title="Update an IP range",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete an IP range",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (IP_RANGES, IP_RANGE)
