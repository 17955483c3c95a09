"""`fabrics/` and `fabrics/{id}/`: groups of VLANs on the same switches."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME
from regiond.api.serializer import array
from regiond.api.serializers.networks import FABRIC_JSON
from regiond.api.services import Services
from regiond.networks.model import Fabric

_FIELDS = (
    Field(name="name", type=NAME, doc="Name of the fabric (default for a new one: fabric-ID)."),
    Field(
        name="class_type",
        type=Text(),
        doc="Your name for this kind of fabric, such as 10g; constraints can select by it.",
    ),
    DESCRIPTION,
)
_RESULT = Result(doc="The fabric.", type=FABRIC_JSON)


async def _find(services: Services, path: Mapping[str, str]) -> Fabric:
    return await services.networks.fabric(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([FABRIC_JSON.encode(fabric) for fabric in await call.services.networks.fabrics()])


async def _create(call: Call) -> Reply:
    created = await call.services.networks.create_fabric(
        call.caller,
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"] or "",
    )
    return json_reply(FABRIC_JSON.encode(created))


async def _read(call: Call) -> Reply:
    return json_reply(FABRIC_JSON.encode(call.target))


async def _update(call: Call) -> Reply:
    changed = await call.services.networks.update_fabric(
        call.caller,
        call.path["id"],
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"],
    )
    return json_reply(FABRIC_JSON.encode(changed))


async def _delete(call: Call) -> Reply:
    await call.services.networks.delete_fabric(call.caller, call.path["id"])
    return empty_reply()


FABRICS = Resource(
    handler="FabricsHandler",
    path="fabrics/",
    doc="Fabrics: groups of VLANs on the same switches.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List fabrics",
            result=Result(doc="The fabrics.", type=array(FABRIC_JSON)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_FIELDS,
            title="Create a fabric",
            doc="The new fabric has an untagged VLAN.",
            result=_RESULT,
            run=_create,
        ),
    ),
)
FABRIC = Resource(
    handler="FabricHandler",
    path="fabrics/{id}/",
    doc="One fabric, by its id or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a fabric",
            result=_RESULT,
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_FIELDS,
            title="Update a fabric",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a fabric",
            doc="The default fabric, and fabrics whose VLANs have subnets, cannot be deleted.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (FABRICS, FABRIC)
