"""References to networks in constraints and filters: what they select, and which name nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.values import MAX_VID, NicKind
from regiond.db.pool import Db
from regiond.networks.model import Fabric, Subnet, Vlan
from regiond.placement.candidate import CandidateInterface, CandidateSubnet
from regiond.placement.interface_matching import is_selected, selects_subnet
from regiond.placement.network_selectors import parse_selector
from regiond.placement.requirements import NamedNetwork, NetworkType

_UNKNOWN = """
    select reference.number
      from unnest($1::text[], $2::text[], $3::text[]) with ordinality reference (kind, by, value, number)
     where not case reference.kind
           when 'fabric' then exists (
                select from fabric f
                 where reference.value = case reference.by when 'id' then f.id::text when 'class' then f.class_type
                                                           else f.name end)
           when 'space' then exists (
                select from space s
                 where reference.value = case reference.by when 'id' then s.id::text else s.name end)
           when 'vlan' then exists (
                select from vlan v
                 where reference.value = case reference.by when 'id' then v.id::text when 'vid' then v.vid::text
                                                           else v.name end)
           else exists (
                select from subnet s
                 where case reference.by when 'id' then s.id::text = reference.value
                                         when 'cidr' then s.cidr = reference.value::cidr
                                         when 'ip' then s.cidr >>= reference.value::inet
                                         else s.name = reference.value end)
           end
     order by reference.number
"""
_BY = {
    "id": "with the id",
    "vid": "with the VID",
    "cidr": "",
    "class": "of the class",
    "ip": "that contains",
    "name": "",
}
_KINDS = {"fabric": "fabric", "space": "space", "vlan": "VLAN", "subnet": "subnet"}


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


async def unknown_references(db: Db, named: Sequence[NamedNetwork]) -> tuple[str, ...]:
    """A message for each of `named` that does not exist, in their order. One query; none if nothing is named."""
    if not named:
        return ()
    columns = ([one.of for one in named], [one.by for one in named], [one.value for one in named])
    return tuple(_message(named[row["number"] - 1]) for row in await db.fetch(_UNKNOWN, *columns))


def _message(reference: NamedNetwork) -> str:
    what = " ".join(part for part in (_KINDS[reference.of], _BY[reference.by], reference.value) if part)
    return f"{reference.label}: {reference.text}: there is no {what}."
