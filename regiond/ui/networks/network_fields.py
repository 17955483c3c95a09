"""The fields of the forms of networks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from regiond.api.services import Services
from regiond.ui.edit_form import EditField

Fields = Callable[[Services], Awaitable[list[EditField]]]
_DESCRIPTION = EditField(name="description", label="Description", optional=True)


async def fabric(_: Services) -> list[EditField]:
    return [
        EditField(name="name", label="Name", optional=True, help="Without one it is named fabric-ID"),
        EditField(name="class_type", label="Class", optional=True, help="Your word for this kind, such as 10g"),
        _DESCRIPTION,
    ]


async def vlan(services: Services) -> list[EditField]:
    spaces = tuple((one.name, one.name) for one in await services.networks.spaces())
    return [
        EditField(name="vid", label="Tag", kind="number", help="0 is untagged"),
        EditField(name="name", label="Name", optional=True),
        EditField(name="space", label="Space", kind="choice", options=spaces, none_label="no space", optional=True),
        EditField(name="mtu", label="MTU in bytes", kind="number", optional=True),
        _DESCRIPTION,
    ]


async def new_vlan(services: Services) -> list[EditField]:
    fabrics = tuple((str(one.id), one.name) for one in await services.networks.fabrics())
    return [EditField(name="fabric", label="Fabric", kind="choice", options=fabrics), *await vlan(services)]


async def subnet(services: Services) -> list[EditField]:
    vlans = tuple(
        (str(one.id), f"{each.name} / {one.name}" + (f" (VLAN {one.vid})" if one.vid else ""))
        for each in await services.networks.fabrics()
        for one in each.vlans
    )
    return [
        EditField(name="cidr", label="CIDR", help="Such as 10.1.0.0/24"),
        EditField(name="name", label="Name", optional=True, help="Without one it is the CIDR"),
        EditField(name="vlan", label="VLAN", kind="choice", options=vlans),
        EditField(name="gateway_ip", label="Gateway", optional=True),
        EditField(name="dns_servers", label="DNS servers", optional=True, help="Addresses, separated by commas"),
        _DESCRIPTION,
    ]


async def space(_: Services) -> list[EditField]:
    return [EditField(name="name", label="Name", optional=True, help="Without one it is named space-ID"), _DESCRIPTION]


async def ip_range(_: Services) -> list[EditField]:
    return [
        EditField(name="start_ip", label="First address"),
        EditField(name="end_ip", label="Last address"),
        EditField(name="comment", label="What the addresses are for", optional=True),
    ]


async def new_ip_range(services: Services) -> list[EditField]:
    subnets = tuple((str(one.id), str(one.cidr)) for one in await services.networks.subnets())
    kinds = (("reserved", "reserved: used by something else"), ("dynamic", "dynamic: a DHCP server assigns them"))
    return [
        EditField(name="type", label="Type", kind="choice", options=kinds),
        EditField(
            name="subnet", label="Subnet", kind="choice", options=subnets, none_label="the one of the addresses",
            optional=True,
        ),
        *await ip_range(services),
    ]  # fmt: skip
