"""`fabrics/` and `fabrics/{id}/`: VLANs that are one network of cables and switches."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import network_shapes, schemas
from regiond.api.encoding.networks import encode_fabric
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Text
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME
from regiond.api.services import Services
from regiond.networks.model import Fabric

_FIELDS = (
    Field(name="name", kind=NAME, doc="What to call it. Left out, it is `fabric-` and its number, or stays."),
    Field(name="class_type", kind=Text(), doc="A word of yours for what it is made of, such as `10g`."),
    DESCRIPTION,
)
_RESULT = Result(doc="The fabric.", schema=network_shapes.FABRIC)


async def _find(services: Services, path: Mapping[str, str]) -> Fabric:
    return await services.networks.fabric(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([encode_fabric(fabric) for fabric in await call.services.networks.fabrics()])


async def _create(call: Call) -> Reply:
    made = await call.services.networks.create_fabric(
        call.caller,
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"] or "",
    )
    return json_reply(encode_fabric(made))


async def _read(call: Call) -> Reply:
    return json_reply(encode_fabric(call.target))


async def _update(call: Call) -> Reply:
    changed = await call.services.networks.update_fabric(
        call.caller,
        call.path["id"],
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"],
    )
    return json_reply(encode_fabric(changed))


async def _delete(call: Call) -> Reply:
    await call.services.networks.delete_fabric(call.caller, call.path["id"])
    return empty_reply()


FABRICS = Resource(
    handler="FabricsHandler",
    path="fabrics/",
    doc="Fabrics: VLANs that reach each other's switches.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List fabrics",
            result=Result(doc="The fabrics.", schema=schemas.array(network_shapes.FABRIC)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_FIELDS,
            title="Create a fabric",
            doc="With an untagged VLAN in it.",
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
            doc="Not the default one, and only one whose VLANs have no subnets.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (FABRICS, FABRIC)
