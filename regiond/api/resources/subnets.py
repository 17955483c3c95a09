"""`subnets/` and `subnets/{id}/`, with what is taken and what is left of their addresses."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import HIGHEST_VID
from regiond.api import network_shapes, schemas
from regiond.api.encoding.networks import (
    encode_free,
    encode_statistics,
    encode_subnet,
    encode_taken,
    encode_used_address,
)
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Boolean, Field, Integer, Text, TextList, Values
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME, SPACE
from regiond.api.services import Services
from regiond.networks import usage
from regiond.networks.model import NO_SPACE, Subnet, SubnetChange

_CIDR = Text(longest=64, blank=None)
_COMMON = (
    Field(name="name", kind=NAME, doc="What to call it. A new one is named after its CIDR unless told."),
    Field(name="vlan", kind=NAME, doc="The VLAN that it is on, by id. A new one is on the default one unless told."),
    Field(name="fabric", kind=NAME, doc="A fabric, by id or name: with `vid` another way to name the VLAN."),
    Field(
        name="vid",
        kind=Integer(least=0, most=HIGHEST_VID),
        doc="The tag of the VLAN in `fabric`, or in the one that it is in; a new one is in the default one.",
    ),
    SPACE,
    Field(name="gateway_ip", kind=Text(longest=64), doc="Through what others are reached. Empty: nothing."),
    Field(name="dns_servers", kind=TextList(commas=True), doc="Addresses, separated by commas or blanks."),
    DESCRIPTION,
    Field(name="managed", kind=Boolean(), doc="Kept for clients; Innkeeper assigns what it is asked for either way."),
    Field(name="allow_dns", kind=Boolean(), doc="Kept for clients; Innkeeper serves no DNS."),
    Field(name="allow_proxy", kind=Boolean(), doc="Kept for clients; Innkeeper has no proxy."),
    Field(name="active_discovery", kind=Boolean(), doc="Kept for clients; Innkeeper scans nothing."),
    Field(name="rdns_mode", kind=Integer(least=0, most=2), doc="Kept for clients; Innkeeper serves no DNS."),
)
_NEW = (Field(name="cidr", kind=_CIDR, required=True, doc="Such as `10.1.0.0/24`."), *_COMMON)
_CHANGE = (Field(name="cidr", kind=_CIDR, doc="Such as `10.1.0.0/24`."), *_COMMON)
_RESULT = Result(doc="The subnet.", schema=network_shapes.SUBNET)


def _change(values: Values) -> SubnetChange:
    servers = values["dns_servers"]
    if servers is not None:
        servers = tuple(dict.fromkeys(each for text in servers for each in text.split()))
    space = "" if values["space"] == NO_SPACE else values["space"]
    return SubnetChange(**{**values, "dns_servers": servers, "space": space})


async def _find(services: Services, path: Mapping[str, str]) -> Subnet:
    return await services.networks.subnet(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([encode_subnet(subnet) for subnet in await call.services.networks.subnets()])


async def _create(call: Call) -> Reply:
    return json_reply(encode_subnet(await call.services.networks.create_subnet(call.caller, _change(call.values))))


async def _read(call: Call) -> Reply:
    return json_reply(encode_subnet(call.target))


async def _update(call: Call) -> Reply:
    subnet: Subnet = call.target
    changed = await call.services.networks.update_subnet(call.caller, str(subnet.id), _change(call.values))
    return json_reply(encode_subnet(changed))


async def _delete(call: Call) -> Reply:
    subnet: Subnet = call.target
    await call.services.networks.delete_subnet(call.caller, str(subnet.id))
    return empty_reply()


async def _taken(call: Call) -> tuple[usage.Span, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return usage.taken(call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id))


async def _free(call: Call) -> tuple[usage.Span, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return usage.free(call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id))


async def _reserved(call: Call) -> Reply:
    return json_reply([encode_taken(span) for span in await _taken(call)])


async def _unreserved(call: Call) -> Reply:
    return json_reply([encode_free(span) for span in await _free(call)])


async def _statistics(call: Call) -> Reply:
    return json_reply(encode_statistics(call.target, await _free(call)))


async def _addresses(call: Call) -> Reply:
    used = await call.services.networks.used_addresses(str(call.target.id))
    return json_reply([encode_used_address(each) for each in used])


SUBNETS = Resource(
    handler="SubnetsHandler",
    path="subnets/",
    doc="Subnets: learned from hosts, or made by people before any host has them.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List subnets",
            result=Result(doc="The subnets.", schema=schemas.array(network_shapes.SUBNET)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_NEW,
            title="Create a subnet",
            result=_RESULT,
            run=_create,
        ),
    ),
)
SUBNET = Resource(
    handler="SubnetHandler",
    path="subnets/{id}/",
    takes_slashes=True,
    doc="One subnet, by its id, CIDR or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a subnet",
            result=_RESULT,
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_CHANGE,
            title="Update a subnet",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a subnet",
            doc="Only one in which no machine has an address.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
        Endpoint(
            method="GET",
            op="reserved_ip_ranges",
            permission=Permission.USER,
            title="List the addresses of a subnet that are taken",
            doc="Ranges, and single addresses of machines, of hosts, of the gateway and of DNS servers.",
            result=Result(doc="What is taken, in order.", schema=schemas.array(network_shapes.TAKEN_SPAN)),
            find=_find,
            run=_reserved,
        ),
        Endpoint(
            method="GET",
            op="unreserved_ip_ranges",
            permission=Permission.USER,
            title="List the addresses of a subnet that are left",
            result=Result(doc="What is left, in order.", schema=schemas.array(network_shapes.FREE_SPAN)),
            find=_find,
            run=_unreserved,
        ),
        Endpoint(
            method="GET",
            op="statistics",
            permission=Permission.USER,
            title="Count the addresses of a subnet",
            result=Result(doc="How many are taken and left.", schema=network_shapes.STATISTICS),
            find=_find,
            run=_statistics,
        ),
        Endpoint(
            method="GET",
            op="ip_addresses",
            permission=Permission.USER,
            title="List who has which address in a subnet",
            doc="Machines, by their claims, and hosts, as they were last seen.",
            result=Result(doc="The addresses.", schema=schemas.array(network_shapes.USED_ADDRESS)),
            find=_find,
            run=_addresses,
        ),
    ),
)
RESOURCES = (SUBNETS, SUBNET)
