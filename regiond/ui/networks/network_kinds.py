"""What can be created, edited and deleted on the pages of networks: fields, values, place in the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import frozen

from common.errors import NotFound
from regiond.api.declaration.endpoint import Resource
from regiond.api.resources.networks.fabrics import FABRIC, FABRICS
from regiond.api.resources.networks.ip_ranges import IP_RANGE, IP_RANGES
from regiond.api.resources.networks.spaces import SPACE, SPACES
from regiond.api.resources.networks.subnets import SUBNET, SUBNETS
from regiond.api.resources.networks.vlans import VLAN_BY_ID, VLANS
from regiond.api.services import Services
from regiond.networks.model import Fabric, IpRange, Space, Subnet, Vlan
from regiond.ui.networks import network_fields

Read = Callable[[Services, str], Awaitable[Any]]


@frozen(kw_only=True)
class Kind:
    """`creating` are the fields of a new object, `editing` those that can change; `values` are its present values.

    `parent` is the field of a new object whose value is a segment of the path, instead of a field of the API.
    """

    segment: str
    noun: str
    many: Resource
    one: Resource
    read: Read
    creating: network_fields.Fields
    editing: network_fields.Fields
    values: Callable[[Any], Mapping[str, str]]
    name: Callable[[Any], str]
    parent: str = ""


async def _fabric(services: Services, text: str) -> Fabric:
    return await services.networks.fabric(text)


async def _vlan(services: Services, text: str) -> Vlan:
    return await services.networks.vlan(_number(text, "VLAN"))


async def _subnet(services: Services, text: str) -> Subnet:
    return await services.networks.subnet(text)


async def _space(services: Services, text: str) -> Space:
    return await services.networks.space(text)


async def _range(services: Services, text: str) -> IpRange:
    return await services.networks.range(_number(text, "IP range"))


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise NotFound(f"There is no {what} {text!r}.")
    return int(text)


KINDS = (
    Kind(segment="fabrics", noun="fabric", many=FABRICS, one=FABRIC, read=_fabric, name=lambda one: one.name,
         creating=network_fields.fabric, editing=network_fields.fabric,
         values=lambda one: {"name": one.name, "class_type": one.class_type or "", "description": one.description}),
    Kind(segment="vlans", noun="VLAN", many=VLANS, one=VLAN_BY_ID, read=_vlan, name=lambda one: one.name,
         creating=network_fields.new_vlan, editing=network_fields.vlan, parent="fabric",
         values=lambda one: {
             "vid": str(one.vid), "name": one.name, "mtu": str(one.mtu), "space": one.space_name or "",
             "description": one.description,
         }),
    Kind(segment="subnets", noun="subnet", many=SUBNETS, one=SUBNET, read=_subnet, name=lambda one: str(one.cidr),
         creating=network_fields.subnet, editing=network_fields.subnet,
         values=lambda one: {
             "cidr": str(one.cidr), "name": one.name, "vlan": str(one.vlan.id),
             "gateway_ip": str(one.gateway_ip or ""), "dns_servers": ", ".join(map(str, one.dns_servers)),
             "description": one.description,
         }),
    Kind(segment="spaces", noun="space", many=SPACES, one=SPACE, read=_space, name=lambda one: one.name,
         creating=network_fields.space, editing=network_fields.space,
         values=lambda one: {"name": one.name, "description": one.description}),
    Kind(segment="ranges", noun="IP range", many=IP_RANGES, one=IP_RANGE, read=_range,
         name=lambda one: f"{one.start_ip}–{one.end_ip}",
         creating=network_fields.new_ip_range, editing=network_fields.ip_range,
         values=lambda one: {"start_ip": str(one.start_ip), "end_ip": str(one.end_ip), "comment": one.comment}),
)  # fmt: skip
