"""`op=usage` of a machine and of a VM host: what it uses now, and has used in the last hour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Find, Result
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field
from regiond.api.serializers.usage import USAGE_JSON
from regiond.usage.model import UsageView

_DOC = (
    "The newest sample, which the rack takes every ten seconds: CPU in per cent of all cores, memory in MiB, and bytes "
    "per second that were read from and written to disks, and received and sent by NICs, on average since the sample "
    "before. null: not known. Without a sample, sampled_at is null and reason says why."
)
_FIELDS = (
    Field(
        "history",
        Boolean(),
        "Also answer the samples of the last hour, oldest first: ages has the seconds of each before the last one.",
        default=False,
    ),
)


def usage_endpoint(
    what: str, find: Find, read: Callable[[Call, bool], Awaitable[UsageView]], *, more: str = ""
) -> Endpoint:
    """`what` names the object; `read` returns the usage of `call.target`, with its history if asked."""

    async def run(call: Call) -> UsageView:
        return await read(call, call.values["history"])

    return crud.read(
        Result(doc="The usage.", type=USAGE_JSON),
        run,
        op="usage",
        title=f"Read the usage of {what}",
        doc=_DOC + more,
        fields=_FIELDS,
        find=find,
    )
