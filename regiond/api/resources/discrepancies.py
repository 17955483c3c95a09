"""`discrepancies/`: discrepancies between ledger and hosts: list, read, approve a repair."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Choice, Integer, Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, json_reply
from regiond.api.serializer import array
from regiond.api.serializers.discrepancies import DISCREPANCY_JSON
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.reconciler.model import DiscrepancyKind

_KINDS = tuple(kind.value for kind in DiscrepancyKind)


async def _list(call: Call) -> Reply:
    kind = call.values["kind"]
    found = await call.services.reconciler.check(
        host_id=call.values["host"], kind=DiscrepancyKind(kind) if kind else None
    )
    return json_reply([DISCREPANCY_JSON.encode(one) for one in found])


async def _repaired(call: Call) -> Reply:
    return json_reply([DISCREPANCY_JSON.encode(one) for one in await call.services.reconciler.recent_repairs()])


async def _find(services: Services, path: Mapping[str, str]) -> int:
    """The id of a discrepancy that the last sweep found or that was repaired. Raises NotFound."""
    stored = await services.reconciler.read_stored(id_in(path["id"], "Discrepancy", largest=2**63 - 1))
    return stored.id


async def _read(call: Call) -> Reply:
    return json_reply(DISCREPANCY_JSON.encode(await call.services.reconciler.read(call.target)))


async def _approve(call: Call) -> Reply:
    done = await call.services.reconciler.approve(
        call.caller, call.target, etag=call.values["etag"], shown=call.values["found"]
    )
    return json_reply(DISCREPANCY_JSON.encode(done))


DISCREPANCIES = Resource(
    handler="DiscrepanciesHandler",
    path="discrepancies/",
    doc="Discrepancies between the ledger and the hosts.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ADMIN,
            fields=(
                Field(name="host", type=Integer(), doc="Only discrepancies of the VM host with this id."),
                Field(
                    name="kind",
                    type=Choice(choices=_KINDS),
                    doc=f"Only discrepancies of this kind: {', '.join(_KINDS)}.",
                ),
            ),
            title="List discrepancies",
            doc="Compares the ledger with the last refresh of each host. Repairs nothing.",
            result=Result(doc="The discrepancies.", type=array(DISCREPANCY_JSON)),
            run=_list,
        ),
        Endpoint(
            method="GET",
            op="repaired",
            permission=Permission.ADMIN,
            title="List repaired discrepancies",
            doc="Discrepancies repaired within the last day, automatically or by approval, the latest first.",
            result=Result(doc="The discrepancies before their repair.", type=array(DISCREPANCY_JSON)),
            run=_repaired,
        ),
    ),
)
DISCREPANCY = Resource(
    handler="DiscrepancyHandler",
    path="discrepancies/{id}/",
    doc="One discrepancy.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ADMIN,
            title="Read a discrepancy",
            doc="Compares again and returns the current state; repairs nothing. A repaired discrepancy includes what "
            "was done. A discrepancy that has already disappeared answers 404.",
            result=Result(doc="The discrepancy.", type=DISCREPANCY_JSON),
            find=_find,
            run=_read,
        ),
        Endpoint(
            method="POST",
            op="approve",
            permission=Permission.ADMIN,
            fields=(
                Field(
                    name="etag",
                    type=Text(max_length=64, blank=None),
                    required=True,
                    doc="The etag of the discrepancy as it was shown.",
                ),
                Field(
                    name="found",
                    type=Text(max_length=10_000),
                    default="",
                    doc="The text of `found` as it was shown; quoted in the error if the discrepancy has changed.",
                ),
            ),
            title="Approve a repair",
            doc="Carries out `remedy`. Answers 409, and changes nothing, if the discrepancy has changed. A repeat "
            "with the same etag changes nothing and returns what was done.",
            result=Result(doc="The discrepancy before its repair, and what was done.", type=DISCREPANCY_JSON),
            find=_find,
            run=_approve,
        ),
    ),
)
RESOURCES = (DISCREPANCIES, DISCREPANCY)
