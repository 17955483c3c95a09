"""`spaces/` and `spaces/{id}/`: groups of VLANs that reach each other."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.resources.network_fields import DESCRIPTION, NAME
from regiond.api.serializer import array
from regiond.api.serializers.networks import NO_SPACE_ID, SPACE_JSON
from regiond.api.services import Services
from regiond.networks.model import Space
from regiond.placement.model import NO_SPACE

_FIELDS = (
    Field(name="name", type=NAME, doc="Name of the space (default for a new one: space-ID)."),
    DESCRIPTION,
)
_RESULT = Result(doc="The space.", type=SPACE_JSON)


async def _find(services: Services, path: Mapping[str, str]) -> Space:
    return await services.networks.space(path["id"])


async def _find_to_read(services: Services, path: Mapping[str, str]) -> Space:
    return await _no_space(services) if path["id"] == NO_SPACE else await _find(services, path)


async def _no_space(services: Services) -> Space:
    """A space of everything that is in no space: Juju fails on a subnet whose space is not listed."""
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
    return json_reply([SPACE_JSON.encode(space) for space in found])


async def _create(call: Call) -> Reply:
    created = await call.services.networks.create_space(
        call.caller, name=call.values["name"], description=call.values["description"] or ""
    )
    return json_reply(SPACE_JSON.encode(created))


async def _read(call: Call) -> Reply:
    return json_reply(SPACE_JSON.encode(call.target))


async def _update(call: Call) -> Reply:
    changed = await call.services.networks.update_space(
        call.caller, call.path["id"], name=call.values["name"], description=call.values["description"]
    )
    return json_reply(SPACE_JSON.encode(changed))


async def _delete(call: Call) -> Reply:
    await call.services.networks.delete_space(call.caller, call.path["id"])
    return empty_reply()


SPACES = Resource(
    handler="SpacesHandler",
    path="spaces/",
    doc="Spaces: groups of VLANs. Everything that is in no space is listed in the space `undefined`.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List spaces",
            result=Result(doc="The spaces.", type=array(SPACE_JSON)),
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
            doc="Its VLANs are in no space afterwards.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (SPACES, SPACE)
