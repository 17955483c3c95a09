"""`fabrics/{fabric_id}/vlans/`, `…/{vid}/`, which takes the tag, and `vlans/{id}/`, where `resource_uri` points."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest, NotFound
from common.values import HIGHEST_VID
from regiond.api import network_shapes, schemas
from regiond.api.encoding.networks import encode_vlan
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Boolean, Field, Integer, Values
from regiond.api.paths import id_in
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME, SPACE
from regiond.api.services import Services
from regiond.networks.model import NO_SPACE, Fabric, Vlan, VlanChange

_VID = Integer(least=0, most=HIGHEST_VID)
_UNTAGGED = "untagged"
_COMMON = (
    Field(name="name", kind=NAME, doc="What to call it."),
    Field(name="mtu", kind=Integer(least=552, most=65535), doc="Bytes that fit into a frame; 1500 unless told."),
    SPACE,
    DESCRIPTION,
    Field(name="dhcp_on", kind=Boolean(), doc="Only `false`: Innkeeper runs no DHCP server."),
)
_NEW = (Field(name="vid", kind=_VID, required=True, doc="The tag of its frames; 0 for none."), *_COMMON)
_CHANGE = (
    Field(name="vid", kind=_VID, doc="The tag of its frames; 0 for none."),
    Field(name="fabric", kind=NAME, doc="The fabric to move it to, by id or name."),
    *_COMMON,
)
_RESULT = Result(doc="The VLAN.", schema=network_shapes.VLAN)


def _change(values: Values) -> VlanChange:
    if values["dhcp_on"]:
        raise InvalidRequest.of({"dhcp_on": ["Innkeeper runs no DHCP server: hypervisors and your network do."]})
    return VlanChange(
        name=values["name"],
        vid=values["vid"],
        mtu=values["mtu"],
        space="" if values["space"] == NO_SPACE else values["space"],
        fabric=values.get("fabric"),
        description=values["description"],
    )


async def _find_fabric(services: Services, path: Mapping[str, str]) -> Fabric:
    return await services.networks.fabric(path["fabric_id"])


async def _find_in_fabric(services: Services, path: Mapping[str, str]) -> Vlan:
    fabric = await _find_fabric(services, path)
    vid = 0 if path["vid"] == _UNTAGGED else id_in(path["vid"], "VLAN")
    for vlan in fabric.vlans:
        if vlan.vid == vid:
            return vlan
    raise NotFound(f"Fabric {fabric.name} has no VLAN with the tag {vid}.")


async def _find_by_id(services: Services, path: Mapping[str, str]) -> Vlan:
    return await services.networks.vlan(id_in(path["id"], "VLAN"))


async def _list(call: Call) -> Reply:
    fabric: Fabric = call.target
    return json_reply([encode_vlan(vlan) for vlan in fabric.vlans])


async def _create(call: Call) -> Reply:
    fabric: Fabric = call.target
    made = await call.services.networks.create_vlan(call.caller, str(fabric.id), _change(call.values))
    return json_reply(encode_vlan(made))


async def _read(call: Call) -> Reply:
    return json_reply(encode_vlan(call.target))


async def _update(call: Call) -> Reply:
    vlan: Vlan = call.target
    changed = await call.services.networks.update_vlan(call.caller, vlan.id, _change(call.values))
    return json_reply(encode_vlan(changed))


async def _delete(call: Call) -> Reply:
    vlan: Vlan = call.target
    await call.services.networks.delete_vlan(call.caller, vlan.id)
    return empty_reply()


VLANS = Resource(
    handler="VlansHandler",
    path="fabrics/{fabric_id}/vlans/",
    doc="The VLANs of a fabric, which is told by its id or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List the VLANs of a fabric",
            result=Result(doc="The VLANs.", schema=schemas.array(network_shapes.VLAN)),
            find=_find_fabric,
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_NEW,
            title="Create a VLAN",
            result=_RESULT,
            find=_find_fabric,
            run=_create,
        ),
    ),
)
VLAN = Resource(
    handler="VlanHandler",
    path="fabrics/{fabric_id}/vlans/{vid}/",
    doc="One VLAN: of a fabric, by its tag.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a VLAN",
            result=_RESULT,
            find=_find_in_fabric,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_CHANGE,
            title="Update a VLAN",
            result=_RESULT,
            find=_find_in_fabric,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a VLAN",
            doc="Only one without subnets, and not the untagged one of its fabric.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find_in_fabric,
            run=_delete,
        ),
    ),
)
VLAN_BY_ID = VLAN.also(handler="VlanByIdHandler", path="vlans/{id}/", described=False, find=_find_by_id)
RESOURCES = (VLANS, VLAN, VLAN_BY_ID)
