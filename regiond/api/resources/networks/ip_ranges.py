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
_COMMENT = Field("comment", Text(max_length=255), "What the addresses are for.", example="printers")
_NEW = (
    Field(
        "type",
        Choice(choices=("reserved", "dynamic")),
        "reserved: used by something else. dynamic: assigned by a DHCP server.",
        required=True,
    ),
    Field("start_ip", _ADDRESS, "The first address.", recorded=True, required=True, example="10.1.0.10"),
    Field("end_ip", _ADDRESS, "The last address.", recorded=True, required=True, example="10.1.0.20"),
    Field("subnet", NAME, "Id or name of the subnet (default: the subnet that contains the addresses).", recorded=True),
    _COMMENT,
)
_CHANGE = (
    Field("start_ip", _ADDRESS, "The first address.", recorded=True),
    Field("end_ip", _ADDRESS, "The last address.", recorded=True),
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
                    "with_discovered",
                    Boolean(),
                    "Also list the ranges that were discovered on hosts (default false).",
                    default=False,
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
