"""Selects fabrics, VLANs and subnets by the references that constraints and filters use. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.values import MAX_VID, NicKind
from regiond.networks.model import Fabric, Subnet, Vlan
from regiond.placement.model import CandidateInterface, CandidateSubnet, NetworkType
from regiond.placement.service import is_selected, parse_selector, selects_subnet


def selected_ids(of: NetworkType, text: str, fabrics: Iterable[Fabric], subnets: Iterable[Subnet]) -> frozenset[int]:
    """Returns the ids of the fabrics, VLANs or subnets that the reference selects, such as `vid:10` or `space:dmz`.

    A number selects a VLAN by its VID, one that is too large for that by its id. Raises ValueError, whose text
    continues a sentence that begins with `text`.
    """
    known = tuple(subnets)
    wanted = parse_selector(of, f"id:{text}" if of == "vlan" and _is_too_large(text) else text)
    found: set[int] = set()
    for fabric in fabrics:
        for vlan in fabric.vlans:
            connection = _connection(fabric, vlan, known)
            if of == "subnet":
                found |= {one.id for one in connection.subnets if selects_subnet(wanted, one, connection)}
            elif is_selected(wanted, connection):
                found.add(vlan.id if of == "vlan" else fabric.id)
    return frozenset(found)


def _is_too_large(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 12 and int(text) > MAX_VID


def _connection(fabric: Fabric, vlan: Vlan, subnets: Iterable[Subnet]) -> CandidateInterface:
    """Returns what an interface in this VLAN would have."""
    return CandidateInterface(
        id=0, name="", kind=NicKind.BRIDGE, type="bridge", vid=vlan.vid, vlan_id=vlan.id, vlan_name=vlan.name,
        fabric_id=fabric.id, fabric_name=fabric.name, fabric_class=fabric.class_type, space_id=vlan.space_id,
        space_name=vlan.space_name,
        subnets=tuple(
            CandidateSubnet(id=one.id, name=one.name, cidr=str(one.cidr)) for one in subnets if one.vlan.id == vlan.id
        ),
    )  # fmt: skip
