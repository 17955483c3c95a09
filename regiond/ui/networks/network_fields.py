"""The fields of the forms of networks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from regiond.api.services import Services
from regiond.ui.forms.form_field import FormField

Fields = Callable[[Services], Awaitable[list[FormField]]]
_DESCRIPTION = FormField(name="description", label="Description", optional=True)


async def fabric(_: Services) -> list[FormField]:
    return [
        FormField(name="name", label="Name", optional=True, help="Without one it is named fabric-ID"),
        FormField(name="class_type", label="Class", optional=True, help="Your word for this kind, such as 10g"),
        _DESCRIPTION,
    ]


async def vlan(services: Services) -> list[FormField]:
    spaces = tuple((one.name, one.name) for one in await services.networks.spaces())
    return [
        FormField(name="vid", label="Tag", kind="number", help="0 is untagged"),
        FormField(name="name", label="Name", optional=True),
        FormField(name="space", label="Space", kind="choice", options=spaces, none_label="no space", optional=True),
        FormField(name="mtu", label="MTU in bytes", kind="number", optional=True),
        _DESCRIPTION,
    ]


async def new_vlan(services: Services) -> list[FormField]:
    fabrics = tuple((str(one.id), one.name) for one in await services.networks.fabrics())
    return [FormField(name="fabric", label="Fabric", kind="choice", options=fabrics), *await vlan(services)]


async def subnet(services: Services) -> list[FormField]:
    vlans = tuple(
        (str(one.id), f"{each.name} / {one.name}" + (f" (VLAN {one.vid})" if one.vid else ""))
        for each in await services.networks.fabrics()
        for one in each.vlans
    )
    return [
        FormField(name="cidr", label="CIDR", help="Such as 10.1.0.0/24"),
        FormField(name="name", label="Name", optional=True, help="Without one it is the CIDR"),
        FormField(name="vlan", label="VLAN", kind="choice", options=vlans),
        FormField(name="gateway_ip", label="Gateway", optional=True),
        FormField(name="dns_servers", label="DNS servers", optional=True, help="Addresses, separated by commas"),
        _DESCRIPTION,
    ]


async def space(_: Services) -> list[FormField]:
    return [FormField(name="name", label="Name", optional=True, help="Without one it is named space-ID"), _DESCRIPTION]


async def ip_range(_: Services) -> list[FormField]:
    return [
        FormField(name="start_ip", label="First address"),
        FormField(name="end_ip", label="Last address"),
        FormField(name="comment", label="What the addresses are for", optional=True),
    ]


async def new_ip_range(services: Services) -> list[FormField]:
    subnets = tuple((str(one.id), str(one.cidr)) for one in await services.networks.subnets())
    kinds = (("reserved", "reserved: used by something else"), ("dynamic", "dynamic: a DHCP server assigns them"))
    return [
        FormField(name="type", label="Type", kind="choice", options=kinds),
        FormField(
            name="subnet", label="Subnet", kind="choice", options=subnets, none_label="the one of the addresses",
            optional=True,
        ),
        *await ip_range(services),
    ]  # fmt: skip
