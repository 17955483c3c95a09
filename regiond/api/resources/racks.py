"""`racks/` and `racks/{id}/`: the rack daemons that have joined."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import schemas, shapes
from regiond.api.encoding.racks import encode_rack
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Field, Integer
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.services import Services
from regiond.racks.model import RackView

_HOUR_S = 3600


async def _find(services: Services, path: Mapping[str, str]) -> RackView:
    return await services.racks.read(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([encode_rack(rack) for rack in await call.services.racks.list()])


async def _token(call: Call) -> Reply:
    token = await call.services.racks.make_token(call.caller, lifetime_s=float(call.values["lifetime_s"]))
    return json_reply({"token": token})


async def _read(call: Call) -> Reply:
    return json_reply(encode_rack(call.target))


async def _delete(call: Call) -> Reply:
    await call.services.racks.remove(call.caller, call.path["id"])
    return empty_reply()


RACKS = Resource(
    handler="RacksHandler",
    path="racks/",
    doc="Racks: the daemons that speak to hosts.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List racks",
            result=Result(doc="The racks.", schema=schemas.array(shapes.RACK)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            op="token",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    name="lifetime_s",
                    kind=Integer(least=60, most=7 * 24 * _HOUR_S),
                    default=_HOUR_S,
                    doc="Seconds for which the token may be used; an hour when left out.",
                ),
            ),
            title="Make a token for a new rack",
            doc="It is used once: `rackd join TOKEN`.",
            result=Result(doc="The token.", schema=schemas.record("RackToken", token=schemas.STR)),
            run=_token,
        ),
    ),
)
RACK = Resource(
    handler="RackHandler",
    path="racks/{id}/",
    doc="One rack, by its id.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a rack",
            result=Result(doc="The rack.", schema=shapes.RACK),
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Remove a rack",
            doc="It is refused from its next frame on. Its operations go through other racks, or wait.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (RACKS, RACK)
