"""`racks/` and `racks/{id}/`: the enrolled rack daemons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from regiond.api import crud
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import Integer
from regiond.api.fields import Field
from regiond.api.serializers.racks import RACK_JSON, RACK_TOKEN_JSON, IssuedToken
from regiond.api.services import Services
from regiond.racks.model import RackView

_HOUR_S = 3600


async def _find(services: Services, path: Mapping[str, str]) -> RackView:
    return await services.racks.read(path["id"])


async def _list(call: Call) -> tuple[RackView, ...]:
    return await call.services.racks.list()


async def _token(call: Call) -> IssuedToken:
    lifetime_s: int = call.values["lifetime_s"]
    expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    token = await call.services.racks.create_token(call.caller, lifetime_s=float(lifetime_s))
    return IssuedToken(token=token, expires_at=expires_at)


async def _delete(call: Call) -> None:
    await call.services.racks.remove(call.caller, call.path["id"])


RACKS = Resource(
    handler="RacksHandler",
    path="racks/",
    doc="Racks: the daemons that call hypervisors.",
    endpoints=(
        crud.list_of(RACK_JSON, _list, title="List racks", result="The racks."),
        crud.action(
            "token",
            Result(doc="The token.", type=RACK_TOKEN_JSON),
            _token,
            title="Create a token for a new rack",
            doc="The token is valid once: `rackd join TOKEN`.",
            fields=(
                Field(
                    name="lifetime_s",
                    type=Integer(minimum=60, maximum=7 * 24 * _HOUR_S),
                    default=_HOUR_S,
                    doc="Lifetime of the token in seconds (default 3600).",
                ),
            ),
        ),
    ),
)
RACK = Resource(
    handler="RackHandler",
    path="racks/{id}/",
    doc="One rack, by its id.",
    endpoints=(
        crud.read_target(Result(doc="The rack.", type=RACK_JSON), _find, title="Read a rack"),
        crud.delete(
            _delete,
            title="Remove a rack",
            doc="Disconnects the rack at once and rejects its certificate. Its operations use other racks or wait.",
            find=_find,
        ),
    ),
)
RESOURCES = (RACKS, RACK)
