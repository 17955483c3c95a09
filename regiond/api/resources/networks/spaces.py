"""`spaces/` and `spaces/{id}/`: groups of VLANs that reach each other."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import found, part, serve, text
from regiond.api.resources.networks.network_fields import DESCRIPTION, NAME
from regiond.api.serializers.networks import NO_SPACE_ID, SPACE_JSON
from regiond.api.services import Services
from regiond.networks.model import Space
from regiond.placement.requirements import NO_SPACE

_FIELDS = (
    Field("name", NAME, "Name of the space (default for a new one: space-ID).", recorded=True, example="dmz"),
    DESCRIPTION,
)
_SPACE = Result(doc="The space.", type=SPACE_JSON)
_find = found(lambda s: s.networks.space, "id")


async def _find_to_read(services: Services, path: Mapping[str, str]) -> Space:
    return await _no_space(services) if path["id"] in {NO_SPACE, str(NO_SPACE_ID)} else await _find(services, path)


async def _no_space(services: Services) -> Space:
    """Returns a space for everything that is in no space: Juju fails on a subnet whose space is not listed."""
    fabrics, subnets = await services.networks.fabrics(), await services.networks.subnets()
    return Space(
        id=NO_SPACE_ID,
        name=NO_SPACE,
        description="",
        vlans=tuple(vlan for fabric in fabrics for vlan in fabric.vlans if vlan.space_id is None),
        subnets=tuple(subnet for subnet in subnets if subnet.vlan.space_id is None),
    )


async def _list(call: Call) -> tuple[Space, ...]:
    return (*await call.services.networks.spaces(), await _no_space(call.services))


_create = serve(lambda s: s.networks.create_space, "name", description=text("description", blank=""))
_update = serve(lambda s: s.networks.update_space, "name", "description", id_or_name=part("id"))
_delete = serve(lambda s: s.networks.delete_space, id_or_name=part("id"))

SPACES = Resource(
    handler="SpacesHandler",
    path="spaces/",
    doc="Spaces: groups of VLANs. Everything that is in no space is listed in the space `undefined`.",
    endpoints=(
        crud.list_of(SPACE_JSON, _list, title="List spaces", result="The spaces."),
        crud.create(_SPACE, _create, title="Create a space", fields=_FIELDS),
    ),
)
SPACE = Resource(
    handler="SpaceHandler",
    path="spaces/{id}/",
    doc="One space, by its id or name.",
    endpoints=(
        crud.read_target(_SPACE, _find_to_read, title="Read a space"),
        crud.update(_SPACE, _update, title="Update a space", find=_find, fields=_FIELDS),
        crud.delete(_delete, title="Delete a space", doc="Its VLANs are in no space afterwards.", find=_find),
    ),
)
RESOURCES = (SPACES, SPACE)
