"""`racks/` and `racks/{id}/`: the enrolled rack daemons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from regiond.api import crud
from regiond.api.dry_run import is_dry_run
from regiond.api.endpoint import Call, Resource, Result
from regiond.api.field_types import Integer
from regiond.api.fields import Field
from regiond.api.resources.lookups import find_rack
from regiond.api.resources.visibility import visible_rack
from regiond.api.serializers.racks import RACK_JSON, RACK_TOKEN_JSON, RACK_WITH_REACH_JSON, IssuedToken
from regiond.deletion_plan import DeletionPlan
from regiond.racks.model import RackView

_HOUR_S = 3600


async def _list(call: Call) -> tuple[RackView, ...]:
    return tuple(visible_rack(call.caller, rack) for rack in await call.services.racks.list())


async def _read(call: Call) -> RackView:
    return visible_rack(call.caller, call.target)


async def _token(call: Call) -> IssuedToken:
    lifetime_s: int = call.values["lifetime_s"]
    expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    token = await call.services.racks.create_token(call.caller, lifetime_s=float(lifetime_s))
    return IssuedToken(token=token, expires_at=expires_at)


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.racks.remove(call.caller, str(call.target.id), dry_run=is_dry_run(call))


RACKS = Resource(
    handler="RacksHandler",
    path="racks/",
    doc="Racks: the daemons that call hypervisors.",
    endpoints=(
        crud.list_of(
            RACK_JSON,
            _list,
            title="List racks",
            doc=(
                "Shows the state, age and release of each rack, the regions it is connected to, and in `unreached` up "
                "to 20 hosts that it cannot reach, for administrators with the reasons."
            ),
            result="The racks, by name.",
        ),
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
    doc="One rack, by its id or name.",
    endpoints=(
        crud.read(
            Result(doc="The rack. `hosts` says for each host whether the rack reaches it.", type=RACK_WITH_REACH_JSON),
            _read,
            title="Read a rack",
            find=find_rack,
        ),
        crud.delete(
            _delete,
            title="Remove a rack",
            doc="Disconnects the rack at once and rejects its certificate. Its operations use other racks or wait.",
            find=find_rack,
        ),
    ),
)
RESOURCES = (RACKS, RACK)
