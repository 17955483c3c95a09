"""`ipranges/` and `ipranges/{id}/`: addresses that Innkeeper assigns to no machine."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.resources.networks.network_fields import NAME
from regiond.api.serializers.networks import IP_RANGE_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.deletion_plan import DeletionPlan
from regiond.networks.model import IpRange, RangeChange

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


async def _find(services: Services, path: Mapping[str, str]) -> IpRange:
    return await services.networks.range(id_in(path["id"], "IP range"))


async def _list(call: Call) -> tuple[IpRange, ...]:
    return await call.services.networks.ranges(with_discovered=call.values["with_discovered"])


async def _create(call: Call) -> IpRange:
    values = call.values
    return await call.services.networks.create_range(
        call.caller,
        subnet=values["subnet"],
        type=values["type"],
        start_ip=values["start_ip"],
        end_ip=values["end_ip"],
        comment=values["comment"] or "",
    )


async def _update(call: Call) -> IpRange:
    return await call.services.networks.update_range(call.caller, call.target.id, RangeChange(**call.values))


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.networks.delete_range(call.caller, call.target.id, dry_run=is_dry_run(call))


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
