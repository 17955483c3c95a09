"""`audit/`: who asked for what, for administrators."""

from __future__ import annotations

from attrs import evolve

from regiond.api import crud
from regiond.api.endpoint import Call, Permission, Resource, Result
from regiond.api.field_types import Choice, Integer, Text, Timestamp
from regiond.api.fields import Field
from regiond.api.list_page import Page
from regiond.api.log_page import LogPosition, log_fields, log_page
from regiond.api.request_cost import with_any_of
from regiond.api.serializers.audit import AUDIT_ENTRY_JSON, CHAIN_REPORT_JSON, RAW_ENTRY_JSON
from regiond.audit.model import AuditEntry, AuditFilter, AuditResult, ChainReport, RawEntry

_ID = Integer(minimum=0, maximum=2**63 - 1)
_LIMIT = Field(
    name="limit", type=Integer(minimum=1, maximum=1000), default=100, doc="Maximum number of entries (default 100)."
)


async def _list(call: Call) -> Page[AuditEntry]:
    values, audit, position = call.values, call.services.audit, LogPosition.of(call.values)
    result = values["result"]
    wanted = AuditFilter(
        username=values["user"],
        action=values["action"],
        object=None if values["object"] is None else values["object"].strip("/"),
        result=None if result is None else AuditResult(result),
        since=values["since"],
        until=values["until"],
        before_id=position.before_id,
        after_id=position.after_id,
        oldest_first=position.oldest_first,
        limit=position.limit,
    )
    found = await audit.list(call.caller, wanted)

    async def count(limit: int) -> int:
        return await audit.count(call.caller, evolve(wanted, limit=limit))

    return await log_page(found, position, id_of=lambda one: one.id, count=count)


async def _export(call: Call) -> Page[RawEntry]:
    limit = call.values["limit"]
    found = await call.services.audit.export(call.caller, after_id=call.values["after"], limit=limit)
    return Page.by_id(found, limit=limit, field="after", id_of=lambda one: one.id)


async def _verify(call: Call) -> ChainReport:
    return await call.services.audit.verify()


AUDIT = Resource(
    handler="AuditHandler",
    path="audit/",
    doc="The audit trail: requests that change something or show secrets, with who sent them and their results.",
    endpoints=(
        crud.list_of(
            AUDIT_ENTRY_JSON,
            _list,
            title="List the requests of the audit trail",
            permission=Permission.ADMIN,
            fields=(
                Field(name="user", type=Text(blank=None), doc="Only requests of this account."),
                Field(name="action", type=Text(blank=None), doc="Only this action, such as Machine.power_on."),
                Field(
                    name="object",
                    type=Text(blank=None),
                    doc="Only requests for this object, by its path, such as machines/wdpx3n, or its name.",
                ),
                Field(
                    name="result",
                    type=Choice(choices=tuple(one.value for one in AuditResult)),
                    doc="Only with this result: ok, rejected, failed or unknown.",
                ),
                Field(name="since", type=Timestamp(), doc="Only from this time on, such as 2026-11-21T08:00Z."),
                Field(name="until", type=Timestamp(), doc="Only before this time."),
                *log_fields("entries"),
            ),
            expensive=with_any_of("user", "action", "object", "result", "since", "until"),
            result="The requests.",
        ),
        crud.list_of(
            RAW_ENTRY_JSON,
            _export,
            op="export",
            title="Export the rows of the audit trail",
            doc="Oldest first, with their hashes.",
            permission=Permission.ADMIN,
            fields=(
                Field(name="after", type=_ID, default=0, doc="Only rows after this id, for the next page."),
                _LIMIT,
            ),
            result="The rows.",
        ),
        crud.read(
            Result(doc="The extent of the trail, and what is wrong with it.", type=CHAIN_REPORT_JSON),
            _verify,
            op="verify",
            title="Verify the audit trail",
            expensive=True,
            doc="Reads all of it. Finds rows that were changed, removed or inserted.",
            permission=Permission.ADMIN,
        ),
    ),
)
