"""`audit/`: the audit trail, for administrators."""

from __future__ import annotations

from attrs import evolve

from common.words.phrases import number_of
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import PLAN, plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Boolean, Choice, Integer, IntegerList, Text, TextList, Timestamp
from regiond.api.declaration.fields import MAX_KEY_LENGTH, Field, Problems
from regiond.api.declaration.list_page import Page
from regiond.api.declaration.log_page import LogPosition, log_fields, log_page
from regiond.api.declaration.request_cost import with_any_of
from regiond.api.declaration.served import filled, given, serve
from regiond.api.replies import Reply
from regiond.api.serializers.audit import AUDIT_ENTRY_JSON, CHAIN_REPORT_JSON, RAW_ENTRY_JSON, REDACTION_REPORT_JSON
from regiond.audit.model import AuditEntry, AuditFilter, AuditResult, RawEntry, Redaction, RedactionReport
from regiond.requests.caller import Permission
from regiond.requests.deletion_plan import DeletionPlan

_LARGEST_ID = 2**63 - 1
_ID = Integer(minimum=0, maximum=_LARGEST_ID)
_LIMIT = Field("limit", Integer(minimum=1, maximum=1000), "Maximum number of entries (default 100).", default=100)
_redaction = filled(Redaction, entry_ids=given("id"), fields=given("field"))


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


async def _redact(call: Call) -> RedactionReport:
    return await call.services.audit.redact(call.caller, _redaction(call), after_id=call.values["after"])


async def _redaction_plan(call: Call) -> Reply:
    after = call.values["after"]
    found = await call.services.audit.redact(call.caller, _redaction(call), after_id=after, dry_run=True)
    number = number_of(found.requests, "request")
    effect = f"Redacts values of {number}{'' if found.is_complete else ', and there are more for another call'}."
    return plan_reply(DeletionPlan(name="the audit trail", effects=(effect,)))


def _redaction_problems(call: Call) -> Problems:
    named = call.values["id"] or call.values["field"]
    if not call.invalid & {"id", "field", "unlisted"} and bool(named) == call.values["unlisted"]:
        return {"id": ["Give the ids of requests, or names of fields, or both; or unlisted=true alone."]}
    return {}


_REDACT = crud.action(
    "redact",
    Result(
        doc="How many requests were redacted. If is_complete is false, repeat it with after.",
        type=REDACTION_REPORT_JSON,
    ),
    _redact,
    title="Redact values in the audit trail",
    doc=(
        "Replaces values of fields by (redacted), for secrets that were recorded; nothing else of an entry can "
        "be changed. The trail records who did it, why, and in which entries, and can still be verified. It "
        "cannot be undone. Change the secret too: it is still in backups and exports, and a short one can be "
        "guessed by the hash of the entry."
    ),
    fields=(
        Field(
            "id",
            IntegerList(maximum=_LARGEST_ID),
            "Id of a request; may be repeated. Without field, all its fields go, and their names.",
            default=(),
            example=(17,),
        ),
        Field(
            "field",
            TextList(max_length=MAX_KEY_LENGTH),
            "Name of a field, of the requests with these ids, or of all; may be repeated.",
            recorded=True,
            default=(),
            example=("user_data",),
        ),
        Field(
            "unlisted",
            Boolean(),
            "All values that this release would not record: those of older releases (default false).",
            default=False,
        ),
        Field(
            "after", _ID, "Only requests after this id: that of the answer before, to continue (default 0).", default=0
        ),
        Field(
            "comment",
            Text(max_length=255),
            "Why; recorded.",
            recorded=True,
            required=True,
            example="a key was pasted by mistake",
        ),
    ),
    check=_redaction_problems,
    expensive=True,
    destructive=True,
)
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
                Field("user", Text(blank=None), "Only requests of this account."),
                Field("action", Text(blank=None), "Only this action, such as Machine.power_on."),
                Field(
                    "object",
                    Text(blank=None),
                    "Only requests for this object, by its path, such as machines/wdpx3n, or its name. A machine is "
                    "found by its id, too, and with the requests that made it, also when it was renamed or deleted.",
                ),
                Field(
                    "result",
                    Choice(choices=tuple(one.value for one in AuditResult)),
                    "Only with this result: ok, rejected, failed or unknown.",
                ),
                Field("since", Timestamp(), "Only from this time on, such as 2026-11-21T08:00Z."),
                Field("until", Timestamp(), "Only before this time."),
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
                Field("after", _ID, "Only rows after this id, for the next page.", default=0),
                _LIMIT,
            ),
            result="The rows.",
        ),
        crud.read(
            Result(doc="The extent of the trail, and what is wrong with it.", type=CHAIN_REPORT_JSON),
            serve(lambda s: s.audit.verify),
            op="verify",
            title="Verify the audit trail",
            expensive=True,
            doc="Reads all of it. Finds rows that were changed, removed or inserted.",
            permission=Permission.ADMIN,
        ),
        with_dry_run(
            _REDACT,
            _redaction_plan,
            result=PLAN,
            doc="Change nothing; answer how many requests would be redacted (default false).",
        ),
    ),
)
