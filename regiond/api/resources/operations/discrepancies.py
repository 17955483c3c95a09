"""`discrepancies/`: discrepancies between ledger and hosts: list, read, approve a repair."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import PLAN, with_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import given, serve, target
from regiond.api.resources.shared.lookups import REFERENCE, host_in_field, machine_in_field, past_host, past_machine
from regiond.api.serializers.discrepancies import DISCREPANCY_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.reconciler.model import DiscrepancyKind, OpenDiscrepancy
from regiond.requests.caller import Permission

_KINDS = tuple(kind.value for kind in DiscrepancyKind)


async def _list(call: Call) -> tuple[OpenDiscrepancy, ...]:
    """Lists discrepancies. A filter by an unknown object is an error, since an empty list means that all agrees."""
    kind = call.values["kind"]
    found = await call.services.reconciler.check(
        host_id=await past_host(call.services, call.values["host"]),
        kind=DiscrepancyKind(kind) if kind else None,
        system_id=await past_machine(call.services, call.values["machine"]),
    )
    if not found:
        await _check_exists(call)
    return found


async def _check_exists(call: Call) -> None:
    """Raises InvalidRequest if the host or the machine of the filters does not exist."""
    problems: Problems = {}
    try:
        await host_in_field(call.services, call.values["host"])
    except InvalidRequest as error:
        problems |= error.fields
    try:
        await machine_in_field(call.services, call.values["machine"])
    except InvalidRequest as error:
        problems |= error.fields
    if problems:
        raise InvalidRequest.of(problems)


_repaired = serve(lambda s: s.reconciler.recent_repairs)


async def _find(services: Services, path: Mapping[str, str]) -> int:
    """Returns the id of a discrepancy that the last sweep found or that was repaired. Raises NotFound."""
    stored = await services.reconciler.read_stored(id_in(path["id"], "discrepancy", largest=2**63 - 1))
    return stored.id


_read = serve(lambda s: s.reconciler.read, discrepancy_id=target())
_approve = serve(lambda s: s.reconciler.approve, "etag", discrepancy_id=target(), shown=given("found"))
_approval_plan = serve(lambda s: s.reconciler.approval_plan, "etag", discrepancy_id=target(), shown=given("found"))

DISCREPANCIES = Resource(
    handler="DiscrepanciesHandler",
    path="discrepancies/",
    doc="Discrepancies between the ledger and the hosts.",
    endpoints=(
        crud.list_of(
            DISCREPANCY_JSON,
            _list,
            title="List discrepancies",
            expensive=True,
            doc="Compares the ledger with the last refresh of each host. Repairs nothing.",
            fields=(
                Field("host", REFERENCE, "Only discrepancies of the VM host with this id or name."),
                Field("kind", Choice(choices=_KINDS), f"Only discrepancies of this kind: {', '.join(_KINDS)}."),
                Field("machine", REFERENCE, "Only discrepancies of the machine with this system id or hostname."),
            ),
            result="The discrepancies.",
            permission=Permission.ADMIN,
        ),
        crud.list_of(
            DISCREPANCY_JSON,
            _repaired,
            op="repaired",
            title="List repaired discrepancies",
            doc="Discrepancies repaired within the last day, automatically or by approval, the latest first.",
            result="The discrepancies before their repair.",
            permission=Permission.ADMIN,
        ),
    ),
)
DISCREPANCY = Resource(
    handler="DiscrepancyHandler",
    path="discrepancies/{id}/",
    doc="One discrepancy.",
    endpoints=(
        crud.read(
            Result(doc="The discrepancy.", type=DISCREPANCY_JSON),
            _read,
            title="Read a discrepancy",
            doc="Compares again and returns the current state; repairs nothing. A repaired discrepancy includes what "
            "was done. A discrepancy that has already disappeared answers 404.",
            find=_find,
            permission=Permission.ADMIN,
        ),
        with_dry_run(
            crud.action(
                "approve",
                Result(doc="The discrepancy before its repair, and what was done.", type=DISCREPANCY_JSON),
                _approve,
                title="Approve a repair",
                doc="Carries out `remedy`. Answers 409, and changes nothing, if the discrepancy has changed. A repeat "
                "with the same etag changes nothing and returns what was done.",
                destructive=True,
                fields=(
                    Field(
                        "etag",
                        Text(max_length=64, blank=None),
                        "The etag of the discrepancy as it was shown.",
                        recorded=True,
                        required=True,
                        example="0123456789abcdef",
                    ),
                    Field(
                        "found",
                        Text(max_length=10_000),
                        "The text of `found` as it was shown; quoted in the error if the discrepancy has changed.",
                        default="",
                    ),
                ),
                find=_find,
            ),
            crud.encoded_run(PLAN, _approval_plan),
            result=PLAN,
        ),
    ),
)
RESOURCES = (DISCREPANCIES, DISCREPANCY)
