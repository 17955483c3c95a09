"""`ipranges/` and `ipranges/{id}/`: addresses that Innkeeper assigns to no machine."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Boolean, Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled, found, serve, target, text
from regiond.api.resources.networks.network_fields import NAME
from regiond.api.serializers.networks import IP_RANGE_JSON
from regiond.networks.model import RangeChange

_ADDRESS = Text(max_length=64, blank=None)
_COMMENT = Field(name="comment", type=Text(max_length=255), doc="What the addresses are for.", example="printers")
_NEW = (
    Field(
        name="type",
        type=Choice(choices=("reserved", "dynamic")),
        required=True,
        doc="reserved: used by something else. dynamic: assigned by a DHCP server.",
    ),
    Field(name="start_ip", type=_ADDRESS, recorded=True, required=True, doc="The first address.", example="10.1.0.10"),
    Field(name="end_ip", type=_ADDRESS, recorded=True, required=True, doc="The last address.", example="10.1.0.20"),
    Field(
        name="subnet",
        type=NAME,
        recorded=True,
        doc="Id or name of the subnet (default: the subnet that contains the addresses).",
    ),
    _COMMENT,
)
_CHANGE = (
    Field(name="start_ip", type=_ADDRESS, recorded=True, doc="The first address."),
    Field(name="end_ip", type=_ADDRESS, recorded=True, doc="The last address."),
    _COMMENT,
)
_RANGE = Result(doc="The range.", type=IP_RANGE_JSON)
_find = found(lambda s: s.networks.range, "id", number_of="IP range")
_list = serve(lambda s: s.networks.ranges, "with_discovered")
_create = serve(
    lambda s: s.networks.create_range, "subnet", "type", "start_ip", "end_ip", comment=text("comment", blank="")
)
_update = serve(lambda s: s.networks.update_range, range_id=target("id"), change=filled(RangeChange))
_delete = serve(lambda s: s.networks.delete_range, range_id=target("id"))

IP_RANGES = Resource(
    handler="IPRangesHandler",
    path="ipranges/",
    doc="IP ranges that Innkeeper assigns to no machine: created by users, or discovered on hosts.",
    endpoints=(
        crud.list_of(
            IP_RANGE_JSON,
            _list,
            title="List IP ranges",
            doc="Those that users created, which can be deleted, as clients of MAAS do before they create theirs.",
            fields=(
                Field(
                    name="with_discovered",
                    type=Boolean(),
                    default=False,
                    doc="Also list the ranges that were discovered on hosts (default false).",
                ),
            ),
            result="The ranges.",
        ),
        crud.create(
            _RANGE,
            _create,
            title="Create an IP range",
            doc="It may overlap discovered ranges, but none that a user created. Machines get no address in it.",
            fields=_NEW,
        ),
    ),
)
IP_RANGE = Resource(
    handler="IPRangeHandler",
    path="ipranges/{id}/",
    doc="One IP range.",
    endpoints=(
        crud.read_target(_RANGE, _find, title="Read an IP range"),
        crud.update(_RANGE, _update, title="Update an IP range", find=_find, fields=_CHANGE),
        crud.delete(_delete, title="Delete an IP range", find=_find),
    ),
)
RESOURCES = (IP_RANGES, IP_RANGE)
