"""The audit trail: its entries by filters, the verification of its chain, and all of it as a file."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

from attrs import frozen

from regiond.api.declaration.field_types import FieldError, Timestamp
from regiond.api.replies import Reply
from regiond.api.serializers.audit import RAW_ENTRY_JSON
from regiond.audit.model import AuditFilter, AuditResult
from regiond.requests.caller import Permission
from regiond.ui.forms.refusal import UNPROCESSABLE
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import WebRequest, page_url

_ENTRIES = 50
_EXPORTED = 1000  # entries of one query
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Audit trail"), page_url(SETTINGS, "audit")))
_JSON_LINES = "application/x-ndjson"
_RESULTS = {
    AuditResult.OK: constant("Done"),
    AuditResult.REJECTED: constant("Rejected"),
    AuditResult.FAILED: constant("Failed"),
    AuditResult.UNKNOWN: constant("Unknown"),
}


@frozen(kw_only=True)
class Filters:
    """The filters of the page, as typed, and what they ask for; None if a time is invalid."""

    texts: Mapping[str, str]
    wanted: AuditFilter | None
    problems: Mapping[str, list[str]]


def read_filters(request: WebRequest) -> Filters:
    """From the address of the page; an unknown result or place is that of no parameter."""
    texts = {name: request.option(name).strip() for name in ("user", "action", "object", "result", "since", "until")}
    problems: dict[str, list[str]] = {}
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        try:
            times[name] = Timestamp().parse((texts[name],)) if texts[name] else None
        except FieldError as error:
            problems[name] = [str(error)]
    if problems:
        return Filters(texts=texts, wanted=None, problems=problems)
    before, result = request.option("before"), texts["result"]
    wanted = AuditFilter(
        username=texts["user"] or None,
        action=texts["action"] or None,
        object=texts["object"].strip("/") or None,
        result=AuditResult(result) if result in set(AuditResult) else None,
        before_id=int(before) if before.isdecimal() and len(before) < 19 else None,
        since=times["since"],
        until=times["until"],
        limit=_ENTRIES + 1,
    )
    return Filters(texts=texts, wanted=wanted, problems={})


async def show(visit: Visit) -> Reply:
    request, filters = visit.request, read_filters(visit.request)
    found = await visit.services.audit.list(visit.caller, filters.wanted) if filters.wanted else ()
    entries = found[:_ENTRIES]
    tasks = {one.answer.operation_id for one in entries if one.answer.operation_id is not None}
    return await visit.page(
        "settings/audit.html",
        title=text("Audit trail"),
        section=SETTINGS,
        status=UNPROCESSABLE if filters.problems else 200,
        entries=entries,
        kept_tasks=await visit.services.operations.visible_ids(tasks, caller=visit.caller) if tasks else (),
        texts=filters.texts,
        problems=filters.problems,
        results=[(result.value, word) for result, word in _RESULTS.items()],
        is_filtered=any(filters.texts.values()),
        older=request.url(before=str(entries[-1].id)) if len(found) > _ENTRIES else None,
        newest=request.url(before=None) if request.option("before") else None,
    )


async def verify(visit: Visit) -> Reply:
    """Reads the whole trail."""
    return await visit.page(
        "settings/audit_report.html",
        title=text("Verification"),
        section=SETTINGS,
        crumbs=CRUMBS,
        report=await visit.services.audit.verify(),
    )


async def export(visit: Visit) -> Reply:
    """All rows, the oldest first, as the API exports them: one JSON object in each line."""
    headers = {"Content-Disposition": f'attachment; filename="audit-{visit.now:%Y%m%d-%H%M%S}.jsonl"'}
    return Reply(status=200, content_type=_JSON_LINES, headers=headers, chunks=_lines(visit))


async def _lines(visit: Visit) -> AsyncGenerator[bytes, None]:
    after_id = 0
    while rows := await visit.services.audit.export(visit.caller, after_id=after_id, limit=_EXPORTED):
        yield b"".join(json.dumps(RAW_ENTRY_JSON.encode(row)).encode() + b"\n" for row in rows)
        after_id = rows[-1].id


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/audit", handle=show, permission=ADMIN),
    Page(path="settings/audit/verify", handle=verify, permission=ADMIN),
    Page(path="settings/audit/export", handle=export, permission=ADMIN),
)
