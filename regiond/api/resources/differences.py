"""`differences/`: where the ledger and the hosts part, found out while it is asked."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api import schemas, shapes
from regiond.api.encoding.differences import encode_difference
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Choice, Field, Integer, Text
from regiond.api.paths import id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.services import Services
from regiond.reconciler.model import Kind

_KINDS = tuple(kind.value for kind in Kind)


async def _list(call: Call) -> Reply:
    kind = call.values["kind"]
    found = await call.services.reconciler.check(host_id=call.values["host"], kind=Kind(kind) if kind else None)
    return json_reply([encode_difference(one) for one in found])


async def _mended(call: Call) -> Reply:
    return json_reply([encode_difference(one) for one in await call.services.reconciler.mended_lately()])


async def _find(services: Services, path: Mapping[str, str]) -> int:
    """The id of one that stood at the last sweep, or was mended."""
    known = await services.reconciler.known(id_in(path["id"], "Difference", largest=2**63 - 1))
    return known.id


async def _read(call: Call) -> Reply:
    return json_reply(encode_difference(await call.services.reconciler.read(call.target)))


async def _approve(call: Call) -> Reply:
    done = await call.services.reconciler.approve(
        call.caller, call.target, etag=call.values["etag"], shown=call.values["found"]
    )
    return json_reply(encode_difference(done))


DIFFERENCES = Resource(
    handler="DifferencesHandler",
    path="differences/",
    doc="Where the ledger and the hosts differ.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ADMIN,
            fields=(
                Field(name="host", kind=Integer(), doc="Only those of the VM host with this id."),
                Field(name="kind", kind=Choice(choices=_KINDS), doc=f"Only those of this kind: {', '.join(_KINDS)}."),
            ),
            title="List differences",
            doc="All is compared anew, with the hosts as their last look found them. Nothing is mended.",
            result=Result(doc="The differences.", schema=schemas.array(shapes.DIFFERENCE)),
            run=_list,
        ),
        Endpoint(
            method="GET",
            op="mended",
            permission=Permission.ADMIN,
            title="List what was mended",
            doc="Differences that were mended within the last day, by themselves or by approval, the latest first.",
            result=Result(doc="The differences as they were.", schema=schemas.array(shapes.DIFFERENCE)),
            run=_mended,
        ),
    ),
)
DIFFERENCE = Resource(
    handler="DifferenceHandler",
    path="differences/{id}/",
    doc="One difference.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ADMIN,
            title="Read a difference",
            doc="As it is found now: all is compared anew, and nothing is mended. One that was mended is told with "
            "what was done; 404 when it went by itself.",
            result=Result(doc="The difference.", schema=shapes.DIFFERENCE),
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
                    kind=Text(longest=64, blank=None),
                    required=True,
                    doc="That of the difference as it was shown.",
                ),
                Field(
                    name="found",
                    kind=Text(longest=10_000),
                    default="",
                    doc="What was found, as it was shown: told beside what it is now when that is another.",
                ),
            ),
            title="Approve a mend",
            doc="What `remedy` says is done. 409 when the difference is another by now, and then nothing was done. "
            "Asked again with the same etag it does nothing, and tells what was done.",
            result=Result(doc="The difference as it was, and what was done.", schema=shapes.DIFFERENCE),
            find=_find,
            run=_approve,
        ),
    ),
)
RESOURCES = (DIFFERENCES, DIFFERENCE)
