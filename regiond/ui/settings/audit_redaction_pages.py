"""Redacts values in the audit trail: of one request, of a field, or all that is not recorded today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError, NotFound
from regiond.api.replies import Reply
from regiond.api.resources.operations.audit import AUDIT
from regiond.api.urls import id_in
from regiond.audit.model import NOT_RECORDED, REDACTED, AuditEntry, AuditFilter
from regiond.requests.caller import Permission
from regiond.ui.forms.refusal import NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.audit_pages import CRUMBS
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text

ALL, FIELD, UNLISTED = "all", "field", "unlisted"
_LARGEST_ID = 2**63 - 1
_NOTHING_CHOSEN = {"field": [constant("Choose what to redact.")]}
_NO_VALUE = {"field": [constant("No request has such a value, or it is redacted already.")]}


async def redact(visit: Visit) -> Reply:
    """The form, and its answer: the page of the entries that record redactions."""
    entry = await _entry(visit)
    if visit.request.method != "POST":
        return await _page(visit, entry, NOT_REFUSED)
    fields = _fields(visit, entry)
    if fields is None:
        return await _page(visit, entry, Refusal(status=UNPROCESSABLE, problems=dict(_NOTHING_CHOSEN)))
    choice = " ".join([*(name for name in fields if name == "unlisted"), *fields.get("field", ())])
    after = visit.request.given("after") if visit.request.given("choice") == choice else ""
    if after:
        fields = {**fields, "after": after}
    try:
        done = await visit.act(AUDIT, "POST", "redact", fields={**fields, "comment": visit.request.given("comment")})
    except InnkeeperError as error:
        return await _page(visit, entry, Refusal.of(error))
    if not done["requests"] and not after and done["is_complete"]:
        return await _page(visit, entry, Refusal(status=UNPROCESSABLE, problems=dict(_NO_VALUE)))
    if not done["is_complete"]:
        return await _page(
            visit, entry, NOT_REFUSED, redacted=done["requests"], after=str(done["after"]), choice=choice
        )
    return redirect(SETTINGS, "audit", query={"action": "audit.redact"})


async def _entry(visit: Visit) -> AuditEntry | None:
    """The request of which values are to be redacted; None for all requests."""
    if not (number := visit.request.option("entry")):
        return None
    wanted = id_in(number, "request", largest=_LARGEST_ID)
    found = await visit.services.audit.list(visit.caller, AuditFilter(before_id=wanted + 1, limit=1))
    if not found or found[0].id != wanted:
        raise NotFound(f"The audit trail has no request {wanted}.")
    return found[0]


def _fields(visit: Visit, entry: AuditEntry | None) -> Mapping[str, Any] | None:
    """Returns what the form asks of the API; None if nothing was chosen."""
    request = visit.request
    names = [one for text in request.form.get("field", ()) if (one := text.strip())]
    what = request.given("what")
    if entry is not None:
        if what == ALL:
            return {"id": entry.id}
        return {"id": entry.id, "field": names} if names else None
    if what == UNLISTED:
        return {"unlisted": True}
    return {"field": names} if names else None


async def _page(
    visit: Visit, entry: AuditEntry | None, refusal: Refusal, *, redacted: int = 0, after: str = "", choice: str = ""
) -> Reply:
    """`redacted`: so many requests were, and there are more after the id `after` for the same `choice`."""
    no_values = {NOT_RECORDED, REDACTED}
    return await visit.page(
        "settings/audit_redact.html",
        title=text("Redact") if entry is None else text("Redact request #{id}", id=entry.id),
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        entry=entry,
        values={} if entry is None else {
            name: value for name, value in entry.request.fields.items() if value not in no_values
        },
        redacted=redacted,
        after=after,
        choice_before=choice,
        what=visit.request.given("what"),
        chosen=visit.request.form.get("field", ()),
        comment=visit.request.given("comment"),
        problems=refusal.problems,
    )  # fmt: skip


PAGES: tuple[Page, ...] = form_pages("settings/audit/redact", redact, permission=Permission.ADMIN)
