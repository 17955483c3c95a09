"""`fabrics/{fabric_id}/vlans/`, `…/{vid}/` by tag, and `vlans/{id}/` by id."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import MAX_VID
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Integer
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import filled, found, serve, target
from regiond.api.resources.networks.network_fields import DESCRIPTION, NAME, SPACE, wanted_space
from regiond.api.resources.shared.lookups import find_vlan, one_of_object
from regiond.api.serializers.networks import VLAN_JSON
from regiond.api.services import Services
from regiond.networks.model import Fabric, Vlan, VlanChange

_VID = Integer(minimum=0, maximum=MAX_VID)
_UNTAGGED = "untagged"
_COMMON = (
    Field("name", NAME, "Name of the VLAN.", recorded=True, example="storage"),
    Field("mtu", Integer(minimum=552, maximum=65535), "MTU in bytes (default 1500)."),
    SPACE,
    DESCRIPTION,
    Field("dhcp_on", Boolean(), "Must be false: Innkeeper runs no DHCP server."),
)
_NEW = (Field("vid", _VID, "VLAN tag; 0 means untagged.", required=True, example=100), *_COMMON)
_CHANGE = (
    Field("vid", _VID, "VLAN tag; 0 means untagged."),
    Field("fabric", NAME, "Id or name of the fabric to move it to.", recorded=True),
    *_COMMON,
)
_VLAN = Result(doc="The VLAN.", type=VLAN_JSON)
_change = filled(VlanChange, space=wanted_space)


def _problems(call: Call) -> Problems:
    if call.values["dhcp_on"]:
        return {"dhcp_on": ["Innkeeper runs no DHCP server; use that of the hypervisor or of your network."]}
    return {}


_find_fabric = found(lambda s: s.networks.fabric, "fabric_id")


async def _find_in_fabric(services: Services, path: Mapping[str, str]) -> Vlan:
    fabric = await _find_fabric(services, path)
    wanted = "0" if path["vid"] == _UNTAGGED else path["vid"]
    what = f"VLAN of the fabric {fabric.name!r} with the tag"
    return one_of_object(what, wanted, fabric.vlans, lambda vlan: (vlan.vid, vlan.name))


async def _list(call: Call) -> tuple[Vlan, ...]:
    fabric: Fabric = call.target
    return fabric.vlans


_create = serve(lambda s: s.networks.create_vlan, fabric=lambda call: str(call.target.id), change=_change)
_update = serve(lambda s: s.networks.update_vlan, vlan_id=target("id"), change=_change)
_delete = serve(lambda s: s.networks.delete_vlan, vlan_id=target("id"))

VLANS = Resource(
    handler="VlansHandler",
    path="fabrics/{fabric_id}/vlans/",
    doc="The VLANs of a fabric, given by id or name.",
    endpoints=(
        crud.list_of(VLAN_JSON, _list, title="List the VLANs of a fabric", result="The VLANs.", find=_find_fabric),
        crud.create(_VLAN, _create, title="Create a VLAN", find=_find_fabric, fields=_NEW, check=_problems),
    ),
)
VLAN = Resource(
    handler="VlanHandler",
    path="fabrics/{fabric_id}/vlans/{vid}/",
    doc="One VLAN of a fabric, by its tag or name.",
    endpoints=(
        crud.read_target(_VLAN, _find_in_fabric, title="Read a VLAN"),
        crud.update(_VLAN, _update, title="Update a VLAN", find=_find_in_fabric, fields=_CHANGE, check=_problems),
        crud.delete(
            _delete,
            title="Delete a VLAN",
            doc="A VLAN with subnets, and the untagged VLAN of a fabric, cannot be deleted.",
            find=_find_in_fabric,
        ),
    ),
)
VLAN_BY_ID = VLAN.also(handler="VlanByIdHandler", path="vlans/{id}/", find=find_vlan)
RESOURCES = (VLANS, VLAN, VLAN_BY_ID)
