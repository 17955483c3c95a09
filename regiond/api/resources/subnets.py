"""`subnets/` and `subnets/{id}/`: subnets and the usage of their addresses."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import MAX_VID
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Boolean, Integer, Text, TextList
from regiond.api.fields import Field, Values
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME, SPACE
from regiond.api.serializer import array
from regiond.api.serializers.networks import (
    RESERVED_SPAN_JSON,
    STATISTICS_JSON,
    SUBNET_JSON,
    UNRESERVED_SPAN_JSON,
    USED_ADDRESS_JSON,
    SubnetStatistics,
)
from regiond.api.services import Services
from regiond.networks import service as network_service
from regiond.networks.model import Subnet, SubnetChange
from regiond.placement.model import NO_SPACE

_CIDR = Text(max_length=64, blank=None)
_COMMON = (
    Field(name="name", type=NAME, doc="Name of the subnet (default for a new one: its CIDR)."),
    Field(name="vlan", type=NAME, doc="Id of its VLAN (default for a new one: the default VLAN)."),
    Field(name="fabric", type=NAME, doc="Id or name of a fabric; with vid another way to name the VLAN."),
    Field(
        name="vid",
        type=Integer(minimum=0, maximum=MAX_VID),
        doc="Tag of the VLAN in fabric (default: the current fabric; for a new subnet the default fabric).",
    ),
    SPACE,
    Field(name="gateway_ip", type=Text(max_length=64), doc="Address of the gateway. Empty: none."),
    Field(
        name="dns_servers", type=TextList(commas=True), doc="Addresses of DNS servers, separated by commas or blanks."
    ),
    DESCRIPTION,
    Field(name="managed", type=Boolean(), doc="Stored for clients; Innkeeper assigns requested addresses either way."),
    Field(name="allow_dns", type=Boolean(), doc="Stored for clients; Innkeeper serves no DNS."),
    Field(name="allow_proxy", type=Boolean(), doc="Stored for clients; Innkeeper has no proxy."),
    Field(name="active_discovery", type=Boolean(), doc="Stored for clients; Innkeeper does not scan subnets."),
    Field(name="rdns_mode", type=Integer(minimum=0, maximum=2), doc="Stored for clients; Innkeeper serves no DNS."),
)
_NEW = (Field(name="cidr", type=_CIDR, required=True, doc="CIDR, such as 10.1.0.0/24."), *_COMMON)
_CHANGE = (Field(name="cidr", type=_CIDR, doc="CIDR, such as 10.1.0.0/24."), *_COMMON)
_RESULT = Result(doc="The subnet.", type=SUBNET_JSON)


def _change(values: Values) -> SubnetChange:
    servers = values["dns_servers"]
    if servers is not None:
        servers = tuple(dict.fromkeys(each for text in servers for each in text.split()))
    space = "" if values["space"] == NO_SPACE else values["space"]
    return SubnetChange(**{**values, "dns_servers": servers, "space": space})


async def _find(services: Services, path: Mapping[str, str]) -> Subnet:
    return await services.networks.subnet(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([SUBNET_JSON.encode(subnet) for subnet in await call.services.networks.subnets()])


async def _create(call: Call) -> Reply:
    return json_reply(SUBNET_JSON.encode(await call.services.networks.create_subnet(call.caller, _change(call.values))))


async def _read(call: Call) -> Reply:
    return json_reply(SUBNET_JSON.encode(call.target))


async def _update(call: Call) -> Reply:
    subnet: Subnet = call.target
    changed = await call.services.networks.update_subnet(call.caller, str(subnet.id), _change(call.values))
    return json_reply(SUBNET_JSON.encode(changed))


async def _delete(call: Call) -> Reply:
    subnet: Subnet = call.target
    await call.services.networks.delete_subnet(call.caller, str(subnet.id))
    return empty_reply()


async def _taken(call: Call) -> tuple[network_service.AddressSpan, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return network_service.taken_addresses(
        call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id)
    )


async def _free(call: Call) -> tuple[network_service.AddressSpan, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return network_service.free_addresses(
        call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id)
    )


async def _reserved(call: Call) -> Reply:
    return json_reply([RESERVED_SPAN_JSON.encode(span) for span in await _taken(call)])


async def _unreserved(call: Call) -> Reply:
    return json_reply([UNRESERVED_SPAN_JSON.encode(span) for span in await _free(call)])


async def _statistics(call: Call) -> Reply:
    return json_reply(STATISTICS_JSON.encode(SubnetStatistics(subnet=call.target, unreserved=await _free(call))))


async def _addresses(call: Call) -> Reply:
    used = await call.services.networks.used_addresses(str(call.target.id))
    return json_reply([USED_ADDRESS_JSON.encode(each) for each in used])


SUBNETS = Resource(
    handler="SubnetsHandler",
    path="subnets/",
    doc="Subnets: discovered on hosts, or created by users.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List subnets",
            result=Result(doc="The subnets.", type=array(SUBNET_JSON)),
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
            doc="A subnet in which a machine has an address cannot be deleted.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
        Endpoint(
            method="GET",
            op="reserved_ip_ranges",
            permission=Permission.USER,
            title="List the reserved addresses of a subnet",
            doc="IP ranges, and the addresses of machines, hosts, the gateway and DNS servers.",
            result=Result(doc="The reserved addresses, in order.", type=array(RESERVED_SPAN_JSON)),
            find=_find,
            run=_reserved,
        ),
        Endpoint(
            method="GET",
            op="unreserved_ip_ranges",
            permission=Permission.USER,
            title="List the unreserved addresses of a subnet",
            result=Result(doc="The unreserved addresses, in order.", type=array(UNRESERVED_SPAN_JSON)),
            find=_find,
            run=_unreserved,
        ),
        Endpoint(
            method="GET",
            op="statistics",
            permission=Permission.USER,
            title="Count the addresses of a subnet",
            result=Result(doc="The counts.", type=STATISTICS_JSON),
            find=_find,
            run=_statistics,
        ),
        Endpoint(
            method="GET",
            op="ip_addresses",
            permission=Permission.USER,
            title="List the used addresses of a subnet",
            doc="Addresses of machines, by their claims, and of hosts, as last discovered.",
            result=Result(doc="The addresses.", type=array(USED_ADDRESS_JSON)),
            find=_find,
            run=_addresses,
        ),
    ),
)
RESOURCES = (SUBNETS, SUBNET)
