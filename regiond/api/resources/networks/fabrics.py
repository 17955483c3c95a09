"""`fabrics/` and `fabrics/{id}/`: groups of VLANs on the same switches."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import found, part, serve, text
from regiond.api.resources.networks.network_fields import DESCRIPTION, NAME
from regiond.api.serializers.networks import FABRIC_JSON

_FIELDS = (
    Field("name", NAME, "Name of the fabric (default for a new one: fabric-ID).", recorded=True, example="core"),
    Field(
        "class_type",
        Text(),
        "Your name for this kind of fabric, such as 10g; constraints can select by it.",
        recorded=True,
    ),
    DESCRIPTION,
)
_FABRIC = Result(doc="The fabric.", type=FABRIC_JSON)
_find = found(lambda s: s.networks.fabric, "id")
_list = serve(lambda s: s.networks.fabrics)
_create = serve(lambda s: s.networks.create_fabric, "name", "class_type", description=text("description", blank=""))
_update = serve(lambda s: s.networks.update_fabric, "name", "class_type", "description", id_or_name=part("id"))
_delete = serve(lambda s: s.networks.delete_fabric, id_or_name=part("id"))

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
