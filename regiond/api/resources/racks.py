"""`racks/` and `racks/{id}/`: the enrolled rack daemons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Integer
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializer import array
from regiond.api.serializers.racks import RACK_JSON, RACK_TOKEN_JSON, IssuedToken
from regiond.api.services import Services
from regiond.racks.model import RackView

_HOUR_S = 3600


async def _find(services: Services, path: Mapping[str, str]) -> RackView:
    return await services.racks.read(path["id"])


async def _list(call: Call) -> Reply:
    return json_reply([RACK_JSON.encode(rack) for rack in await call.services.racks.list()])


async def _token(call: Call) -> Reply:
    lifetime_s: int = call.values["lifetime_s"]
    expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    token = await call.services.racks.create_token(call.caller, lifetime_s=float(lifetime_s))
    return json_reply(RACK_TOKEN_JSON.encode(IssuedToken(token=token, expires_at=expires_at)))


async def _read(call: Call) -> Reply:
    return json_reply(RACK_JSON.encode(call.target))


async def _delete(call: Call) -> Reply:
    await call.services.racks.remove(call.caller, call.path["id"])
    return empty_reply()


RACKS = Resource(
    handler="RacksHandler",
    path="racks/",
    doc="Racks: the daemons that call hypervisors.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List racks",
            result=Result(doc="The racks.", type=array(RACK_JSON)),
            run=_list,
        ),
        Endpoint(
            method="POST",
            op="token",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    name="lifetime_s",
                    type=Integer(minimum=60, maximum=7 * 24 * _HOUR_S),
                    default=_HOUR_S,
                    doc="Lifetime of the token in seconds (default 3600).",
                ),
            ),
            title="Create a token for a new rack",
            doc="The token is valid once: `rackd join TOKEN`.",
            result=Result(doc="The token.", type=RACK_TOKEN_JSON),
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
            result=Result(doc="The rack.", type=RACK_JSON),
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Remove a rack",
            doc="Disconnects the rack at once and rejects its certificate. Its operations use other racks or wait.",
            result=Result(doc="Nothing."),
            success=204,
            find=_find,
            run=_delete,
        ),
    ),
)
RESOURCES = (RACKS, RACK)
