"""The objects that the pages of networks add, edit and delete: their fields, and their place in the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from regiond.api.resources.networks.fabrics import FABRIC, FABRICS
from regiond.api.resources.networks.ip_ranges import IP_RANGE, IP_RANGES
from regiond.api.resources.networks.spaces import SPACE, SPACES
from regiond.api.resources.networks.subnets import SUBNET, SUBNETS
from regiond.api.resources.networks.vlans import VLAN_BY_ID, VLANS
from regiond.networks.model import IpRange, Subnet, Vlan
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.object_pages import ObjectKind
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

SECTION = "networks"
_DESCRIPTION = FormField(name="description", label=constant("Description"), optional=True)


@frozen(kw_only=True)
class NetworkKind(ObjectKind):
    """`segment` is its part of the addresses of pages."""

    segment: str
    section: str = SECTION
    crumbs: tuple[tuple[str, str], ...] = ((constant("Networks"), page_url(SECTION)),)
    place: tuple[str, ...] = (SECTION,)
    template: str = "networks/edit.html"


async def _fabric(_visit: Visit, _found: Any) -> list[FormField]:
    return [
        FormField(name="name", label=text("Name"), optional=True, help=text("Without one it is named fabric-ID")),
        FormField(
            name="class_type", label=text("Class"), optional=True, help=text("Your word for this kind, such as 10g")
        ),
        _DESCRIPTION,
    ]


async def _vlan(visit: Visit, found: Vlan | None) -> list[FormField]:
    networks = visit.services.networks
    spaces = tuple((one.name, one.name) for one in await networks.spaces())
    fabrics = () if found else tuple((str(one.id), one.name) for one in await networks.fabrics())
    return [
        *([] if found else [FormField(name="fabric", label=text("Fabric"), kind="choice", options=fabrics)]),
        FormField(name="vid", label=text("Tag"), kind="number", help=text("0 is untagged")),
        FormField(name="name", label=text("Name"), optional=True),
        FormField(
            name="space", label=text("Space"), kind="choice", options=spaces, none_label=text("no space"), optional=True
        ),
        FormField(name="mtu", label=text("MTU in bytes"), kind="number", optional=True),
        _DESCRIPTION,
    ]


async def vlan_options(visit: Visit) -> tuple[tuple[str, str], ...]:
    """Returns the ids of all VLANs, each with the words for a choice."""
    return tuple(
        (str(one.id), f"{each.name} / {one.name} (VLAN {one.vid})" if one.vid else f"{each.name} / {one.name}")
        for each in await visit.services.networks.fabrics()
        for one in each.vlans
    )


async def _subnet(visit: Visit, _found: Any) -> list[FormField]:
    return [
        FormField(name="cidr", label="CIDR", help=text("Such as 10.1.0.0/24")),
        FormField(name="name", label=text("Name"), optional=True, help=text("Without one it is the CIDR")),
        FormField(name="vlan", label="VLAN", kind="choice", options=await vlan_options(visit)),
        FormField(name="gateway_ip", label=text("Gateway"), optional=True),
        FormField(
            name="dns_servers", label=text("DNS servers"), optional=True, help=text("Addresses, separated by commas")
        ),
        _DESCRIPTION,
    ]


async def _space(_visit: Visit, _found: Any) -> list[FormField]:
    return [
        FormField(name="name", label=text("Name"), optional=True, help=text("Without one it is named space-ID")),
        _DESCRIPTION,
    ]


async def _range(visit: Visit, found: IpRange | None) -> list[FormField]:
    fields = [
        FormField(name="start_ip", label=text("First address")),
        FormField(name="end_ip", label=text("Last address")),
        FormField(name="comment", label=text("What the addresses are for"), optional=True),
    ]
    if found is not None:
        return fields
    subnets = tuple((str(one.id), str(one.cidr)) for one in await visit.services.networks.subnets())
    kinds = (
        ("reserved", text("reserved: used by something else")),
        ("dynamic", text("dynamic: a DHCP server assigns them")),
    )
    return [
        FormField(name="type", label=text("Type"), kind="choice", options=kinds),
        FormField(
            name="subnet",
            label=text("Subnet"),
            kind="choice",
            options=subnets,
            none_label=text("the one of the addresses"),
            optional=True,
        ),
        *fields,
    ]


def _page_of(subnet_id: Callable[[Any], int]) -> Callable[[Any], tuple[str | int, ...]]:
    return lambda found: (SECTION, "subnets", subnet_id(found))


def _space_of(vlan: Vlan) -> Mapping[str, str]:
    return {"space": vlan.space_name or ""}


def _vlan_of(subnet: Subnet) -> Mapping[str, str]:
    return {"vlan": str(subnet.vlan.id)}


KINDS = (
    NetworkKind(
        word=constant("fabric"),
        title=constant("Edit fabric {}"),
        segment="fabrics",
        many=FABRICS,
        one=FABRIC,
        fields=_fabric,
    ),
    NetworkKind(
        word="VLAN",
        title=constant("Edit VLAN {}"),
        segment="vlans",
        many=VLANS,
        one=VLAN_BY_ID,
        fields=_vlan,
        values=_space_of,
    ),
    NetworkKind(
        word=constant("subnet"),
        title=constant("Edit subnet {}"),
        segment="subnets",
        many=SUBNETS,
        one=SUBNET,
        name=lambda one: str(one.cidr),
        fields=_subnet,
        values=_vlan_of,
        added=_page_of(lambda made: made["id"]),
        changed=_page_of(lambda found: found.id),
    ),
    NetworkKind(
        word=constant("space"),
        title=constant("Edit space {}"),
        segment="spaces",
        many=SPACES,
        one=SPACE,
        fields=_space,
    ),
    NetworkKind(
        word=constant("IP range"),
        title=constant("Edit IP range {}"),
        segment="ranges",
        many=IP_RANGES,
        one=IP_RANGE,
        name=lambda one: f"{one.start_ip}–{one.end_ip}",
        fields=_range,
    ),
)
