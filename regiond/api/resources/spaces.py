"""`spaces/` and `spaces/{id}/`: VLANs that reach each other; clients place machines by them."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import network_shapes, schemas
from regiond.api.encoding.networks import NO_SPACE_ID, encode_space
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME
from regiond.api.services import Services
from regiond.networks.model import NO_SPACE, Space

_FIELDS = (
    Field(name="name", kind=NAME, doc="What to call it. Left out, it is `space-` and its number, or stays."),
    DESCRIPTION,
)
_RESULT = Result(doc="The space.", schema=network_shapes.SPACE)


async def _find(services: Services, path: Mapping[str, str]) -> Space:
    return await services.networks.space(path["id"])


async def _find_to_read(services: Services, path: Mapping[str, str]) -> Space:
    return await _no_space(services) if path["id"] == NO_SPACE else await _find(services, path)


async def _no_space(services: Services) -> Space:
    """What is in no space, as a space: Juju fails on a subnet whose space is not listed."""
    fabrics, subnets = await services.networks.fabrics(), await services.networks.subnets()
    return Space(
        id=NO_SPACE_ID,
        name=NO_SPACE,
        description="",
        vlans=tuple(vlan for fabric in fabrics for vlan in fabric.vlans if vlan.space_id is None),
        subnets=tuple(subnet for subnet in subnets if subnet.vlan.space_id is None),
    )


async def _list(call: Call) -> Reply:
    found = (*await call.services.networks.spaces(), await _no_space(call.services))
    return json_reply([encode_space(space) for space in found])


async def _create(call: Call) -> Reply:
    made = await call.services.networks.create_space(
        call.caller, name=call.values["name"], description=call.values["description"] or ""
    )
    return json_reply(encode_space(made))


async def _read(call: Call) -> Reply:
    return json_reply(encode_space(call.target))


async def _update(call: Call) -> Reply:
    changed = await call.services.networks.update_space(
        call.caller, call.path["id"], name=call.values["name"], description=call.values["description"]
    )
    return json_reply(encode_space(changed))


async def _delete(call: Call) -> Reply:
    await call.services.networks.delete_space(call.caller, call.path["id"])
    return empty_reply()


SPACES = Resource(
    handler="SpacesHandler",
    path="spaces/",
    doc="Spaces: groups of VLANs. What is in none of them is in the one called `undefined`, which is always there.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List spaces",
            result=Result(doc="The spaces.", schema=schemas.array(network_shapes.SPACE)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_FIELDS,
            title="Create a space",
            result=_RESULT,
            run=_create,
        ),
    ),
)
SPACE = Resource(
    handler="SpaceHandler",
    path="spaces/{id}/",
    doc="One space, by its id or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a space",
            result=_RESULT,
            find=_find_to_read,
            run=_read,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_FIELDS,
            title="Update a space",
            result=_RESULT,
            find=_find,
            run=_update,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a space",
            doc="Its VLANs are in no space then.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (SPACES, SPACE)
