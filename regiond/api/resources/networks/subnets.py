"""`subnets/` and `subnets/{id}/`: subnets and the usage of their addresses."""

from __future__ import annotations

from common.values import MAX_VID
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Integer, Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled, found, serve
from regiond.api.resources.networks.network_fields import DESCRIPTION, NAME, SPACE, wanted_space
from regiond.api.serializers.networks import (
    RESERVED_SPAN_JSON,
    STATISTICS_JSON,
    SUBNET_JSON,
    UNRESERVED_SPAN_JSON,
    USED_ADDRESS_JSON,
    SubnetStatistics,
)
from regiond.networks.ipam import usage
from regiond.networks.model import SubnetChange

_CIDR = Text(max_length=64, blank=None)
_COMMON = (
    Field("name", NAME, "Name of the subnet (default for a new one: its CIDR).", recorded=True, example="office"),
    Field("vlan", NAME, "Id of its VLAN (default for a new one: the default VLAN).", recorded=True),
    Field("fabric", NAME, "Id or name of a fabric; with vid another way to name the VLAN.", recorded=True),
    Field(
        "vid",
        Integer(minimum=0, maximum=MAX_VID),
        "Tag of the VLAN in fabric (default: the current fabric; for a new subnet the default fabric).",
    ),
    SPACE,
    Field("gateway_ip", Text(max_length=64), "Address of the gateway. Empty: none.", recorded=True),
    Field(
        "dns_servers", TextList(commas=True), "Addresses of DNS servers, separated by commas or blanks.", recorded=True
    ),
    DESCRIPTION,
    Field("managed", Boolean(), "Stored for clients; Innkeeper assigns requested addresses either way."),
    Field("allow_dns", Boolean(), "Stored for clients; Innkeeper serves no DNS."),
    Field("allow_proxy", Boolean(), "Stored for clients; Innkeeper has no proxy."),
    Field("active_discovery", Boolean(), "Stored for clients; Innkeeper does not scan subnets."),
    Field("rdns_mode", Integer(minimum=0, maximum=2), "Stored for clients; Innkeeper serves no DNS."),
)
_NEW = (
    Field("cidr", _CIDR, "CIDR, such as 10.1.0.0/24.", recorded=True, required=True, example="10.1.0.0/24"),
    *_COMMON,
)
_CHANGE = (Field("cidr", _CIDR, "CIDR, such as 10.1.0.0/24.", recorded=True), *_COMMON)
_SUBNET = Result(doc="The subnet.", type=SUBNET_JSON)


def _id(call: Call) -> str:
    return str(call.target.id)


def _servers(call: Call) -> tuple[str, ...] | None:
    servers = call.values["dns_servers"]
    return None if servers is None else tuple(dict.fromkeys(each for text in servers for each in text.split()))


_change = filled(SubnetChange, dns_servers=_servers, space=wanted_space)
_find = found(lambda s: s.networks.subnet, "id")
_list = serve(lambda s: s.networks.subnets)
_create = serve(lambda s: s.networks.create_subnet, change=_change)
_update = serve(lambda s: s.networks.update_subnet, id_or_name=_id, change=_change)
_delete = serve(lambda s: s.networks.delete_subnet, id_or_name=_id)


async def _taken(call: Call) -> tuple[usage.AddressSpan, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return usage.taken_addresses(
        call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id, caller=call.caller)
    )


async def _free(call: Call) -> tuple[usage.AddressSpan, ...]:
    networks, subnet_id = call.services.networks, str(call.target.id)
    return usage.free_addresses(
        call.target, await networks.ranges(subnet_id), await networks.used_addresses(subnet_id, caller=call.caller)
    )


async def _statistics(call: Call) -> SubnetStatistics:
    reserved = await _taken(call) if call.values["include_ranges"] else None
    return SubnetStatistics(subnet=call.target, unreserved=await _free(call), reserved=reserved)


_used = serve(lambda s: s.networks.used_addresses, id_or_name=_id)

SUBNETS = Resource(
    handler="SubnetsHandler",
    path="subnets/",
    doc="Subnets: discovered on hosts, or created by users.",
    endpoints=(
        crud.list_of(SUBNET_JSON, _list, title="List subnets", result="The subnets."),
        crud.create(_SUBNET, _create, title="Create a subnet", fields=_NEW),
    ),
)
SUBNET = Resource(
    handler="SubnetHandler",
    path="subnets/{id}/",
    takes_slashes=True,
    doc="One subnet, by its id, CIDR or name.",
    endpoints=(
        crud.read_target(_SUBNET, _find, title="Read a subnet"),
        crud.update(_SUBNET, _update, title="Update a subnet", find=_find, fields=_CHANGE),
        crud.delete(
            _delete,
            title="Delete a subnet",
            doc="A subnet in which a machine has an address cannot be deleted.",
            find=_find,
        ),
        crud.list_of(
            RESERVED_SPAN_JSON,
            _taken,
            op="reserved_ip_ranges",
            title="List the reserved addresses of a subnet",
            doc="IP ranges, and the addresses of machines, hosts, the gateway and DNS servers.",
            result="The reserved addresses, in order.",
            find=_find,
        ),
        crud.list_of(
            UNRESERVED_SPAN_JSON,
            _free,
            op="unreserved_ip_ranges",
            title="List the unreserved addresses of a subnet",
            result="The unreserved addresses, in order.",
            find=_find,
        ),
        crud.read(
            Result(doc="The counts.", type=STATISTICS_JSON),
            _statistics,
            op="statistics",
            title="Count the addresses of a subnet",
            fields=(
                Field(
                    "include_ranges",
                    Boolean(),
                    "Also list the reserved and unreserved addresses (default false).",
                    default=False,
                ),
            ),
            accepted=frozenset({"include_suggestions"}),
            find=_find,
        ),
        crud.list_of(
            USED_ADDRESS_JSON,
            _used,
            op="ip_addresses",
            title="List the used addresses of a subnet",
            doc="Addresses of machines, by their claims, and of hosts, as last discovered.",
            accepted=frozenset({"with_username", "with_summary", "with_node_summary"}),
            result="The addresses.",
            find=_find,
        ),
    ),
)
RESOURCES = (SUBNETS, SUBNET)
