"""`racks/` and `racks/{id}/`: the enrolled rack daemons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Integer, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import serve
from regiond.api.resources.shared.lookups import find_rack
from regiond.api.serializers.racks import RACK_JSON, RACK_TOKEN_JSON, RACK_WITH_REACH_JSON, IssuedToken
from regiond.racks.model import RackView

_HOUR_S = 3600


async def _list(call: Call) -> tuple[RackView, ...]:
    return await call.services.racks.list(caller=call.caller)


async def _read(call: Call) -> RackView:
    rack: RackView = call.target
    return rack


async def _token(call: Call) -> IssuedToken:
    lifetime_s: int = call.values["lifetime_s"]
    expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    token = await call.services.racks.create_token(
        call.caller, lifetime_s=float(lifetime_s), zones=call.values["zones"]
    )
    return IssuedToken(token=token, expires_at=expires_at)


def _id(call: Call) -> str:
    return str(call.target.id)


async def _update(call: Call) -> RackView:
    values = call.values
    if values["zones"] is None and not values["all_zones"]:
        return await _read(call)
    zones = None if values["all_zones"] else values["zones"]
    return await call.services.racks.update(call.caller, str(call.target.id), zones=zones)


_report_stolen = serve(lambda s: s.racks.report_stolen, rack_id=_id)


def _zones_or_all(call: Call) -> Problems:
    if call.values["zones"] is not None and call.values["all_zones"]:
        return {"zones": ["Give zones or all_zones=true, not both."]}
    return {}


_delete = serve(lambda s: s.racks.remove, rack_id=_id)

_ZONES = TextList(commas=True, max_items=1000)
_RACK_RESULT = Result(
    doc=(
        "The rack. `hosts` says for each host of its zones whether the rack reaches it. After its removal, `rotations` "
        "are the operations that replace the credentials it had, and `by_hand` those that a person has to replace."
    ),
    type=RACK_WITH_REACH_JSON,
)

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
            doc="The token is valid once: `rackd join -`.",
            fields=(
                Field(
                    "lifetime_s",
                    Integer(minimum=60, maximum=7 * 24 * _HOUR_S),
                    "Lifetime of the token in seconds (default 3600).",
                    default=_HOUR_S,
                    example=3600,
                ),
                Field(
                    "zones",
                    _ZONES,
                    "Ids or names of the zones whose hosts the rack serves (default: all zones).",
                    recorded=True,
                    example=("default",),
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
            _RACK_RESULT,
            _read,
            title="Read a rack",
            doc="A removed rack is found by its id.",
            find=find_rack,
        ),
        crud.update(
            _RACK_RESULT,
            _update,
            title="Change the zones of a rack",
            doc=(
                "The rack is asked about hosts of its zones only, and receives the credentials of no others. It "
                "deletes those of hosts that it no longer serves."
            ),
            fields=(
                Field(
                    "zones",
                    _ZONES,
                    "Ids or names of the zones; they replace the present ones.",
                    recorded=True,
                    example=("default",),
                ),
                Field("all_zones", Boolean(), "Serve every zone, also future ones.", default=False),
            ),
            check=_zones_or_all,
            find=find_rack,
        ),
        crud.action(
            "report_stolen",
            _RACK_RESULT,
            _report_stolen,
            title="Report a rack stolen",
            doc=(
                "Removes the rack unless it was removed, and rotates every credential that was ever sent to it, also "
                "those that it was told to delete."
            ),
            find=find_rack,
        ),
        crud.delete(
            _delete,
            title="Remove a rack",
            doc=(
                "Disconnects the rack at once and rejects its certificate. Its operations use other racks or wait. The "
                "credentials that it has are rotated; reading the rack by its id shows how far that is."
            ),
            find=find_rack,
        ),
    ),
)
RESOURCES = (RACKS, RACK)
