"""`fabrics/` and `fabrics/{id}/`: groups of VLANs on the same switches."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.resources.networks.network_fields import DESCRIPTION, NAME
from regiond.api.serializers.networks import FABRIC_JSON
from regiond.api.services import Services
from regiond.deletion_plan import DeletionPlan
from regiond.networks.model import Fabric

_FIELDS = (
    Field(
        name="name",
        type=NAME,
        recorded=True,
        doc="Name of the fabric (default for a new one: fabric-ID).",
        example="core",
    ),
    Field(
        name="class_type",
        type=Text(),
        recorded=True,
        doc="Your name for this kind of fabric, such as 10g; constraints can select by it.",
    ),
    DESCRIPTION,
)
_FABRIC = Result(doc="The fabric.", type=FABRIC_JSON)


async def _find(services: Services, path: Mapping[str, str]) -> Fabric:
    return await services.networks.fabric(path["id"])


async def _list(call: Call) -> tuple[Fabric, ...]:
    return await call.services.networks.fabrics()


async def _create(call: Call) -> Fabric:
    return await call.services.networks.create_fabric(
        call.caller,
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"] or "",
    )


async def _update(call: Call) -> Fabric:
    return await call.services.networks.update_fabric(
        call.caller,
        call.path["id"],
        name=call.values["name"],
        class_type=call.values["class_type"],
        description=call.values["description"],
    )


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.networks.delete_fabric(call.caller, call.path["id"], dry_run=is_dry_run(call))


FABRICS = Resource(
    handler="FabricsHandler",
    path="fabrics/",
    doc="Fabrics: groups of VLANs on the same switches.",
    endpoints=(
        crud.list_of(FABRIC_JSON, _list, title="List fabrics", result="The fabrics."),
        crud.create(
            _FABRIC,
            _create,
            title="Create a fabric",
            doc="The new fabric has an untagged VLAN.",
            fields=_FIELDS,
        ),
    ),
)
FABRIC = Resource(
    handler="FabricHandler",
    path="fabrics/{id}/",
    doc="One fabric, by its id or name.",
    endpoints=(
        crud.read_target(_FABRIC, _find, title="Read a fabric"),
        crud.update(_FABRIC, _update, title="Update a fabric", find=_find, fields=_FIELDS),
        crud.delete(
            _delete,
            title="Delete a fabric",
            doc="The default fabric, and fabrics whose VLANs have subnets, cannot be deleted.",
            find=_find,
        ),
    ),
)
RESOURCES = (FABRICS, FABRIC)
