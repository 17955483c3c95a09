"""Discrepancies: what a check finds now, what was repaired, and the approval of a repair as it was shown."""

from __future__ import annotations

from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.operations.discrepancies import DISCREPANCY
from regiond.api.urls import id_in
from regiond.machines.values.search import MachineFilter
from regiond.reconciler.model import DiscrepancyKind, OpenDiscrepancy, RepairPolicy
from regiond.requests.caller import Permission
from regiond.ui.forms.refusal import NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.rendering.page import Page, Visit, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Discrepancies"), page_url(SETTINGS, "discrepancies")))
_LARGEST_ID = 2**63 - 1


async def show_list(visit: Visit) -> Reply:
    """Compares now, as the API does."""
    kind = visit.request.option("kind")
    wanted = DiscrepancyKind(kind) if kind in set(DiscrepancyKind) else None
    found = await visit.services.reconciler.check(kind=wanted)
    return await visit.page(
        "settings/discrepancies.html",
        title=text("Discrepancies"),
        section=SETTINGS,
        discrepancies=sorted(found, key=_by_urgency),
        kind=wanted.value if wanted else "",
        kinds=[one.value for one in DiscrepancyKind],
        repaired=await visit.services.reconciler.recent_repairs(),
    )


def _by_urgency(one: OpenDiscrepancy) -> tuple[bool, bool, Any]:
    """Orders those that wait for an approval first, then those that only a person resolves; the oldest first."""
    policy = one.discrepancy.repair_policy
    return policy is not RepairPolicy.APPROVAL, policy is not RepairPolicy.NONE, one.first_seen_at


async def show(visit: Visit) -> Reply:
    return await _page(visit, await _read(visit), NOT_REFUSED)


async def approve(visit: Visit) -> Reply:
    """Repairs what the form has shown. With data at risk, the name has to be typed."""
    one, request = await _read(visit), visit.request
    if one.repaired_at is None and one.discrepancy.data_at_risk and request.given("typed") != one.discrepancy.name:
        problems = {"typed": [text("Type the name, {name}.", name=one.discrepancy.name)]}
        return await _page(visit, one, Refusal(status=UNPROCESSABLE, problems=problems))
    fields = {"etag": request.given("etag"), "found": request.given("found")}
    try:
        await visit.act(DISCREPANCY, "POST", "approve", path={"id": str(one.id)}, fields=fields)
    except InnkeeperError as error:
        return await _page(visit, one, Refusal.of(error))
    return redirect(SETTINGS, "discrepancies", one.id)


async def _read(visit: Visit) -> OpenDiscrepancy:
    return await visit.services.reconciler.read(id_in(visit.path["number"], "discrepancy", largest=_LARGEST_ID))


async def _page(visit: Visit, one: OpenDiscrepancy, refusal: Refusal) -> Reply:
    plan = None
    if one.repaired_at is None and one.discrepancy.repair_policy is RepairPolicy.APPROVAL:
        plan = await visit.services.reconciler.approval_plan(visit.caller, one.id, etag=one.discrepancy.etag)
    return await visit.page(
        "settings/discrepancy.html",
        title=one.discrepancy.name,
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        one=one,
        plan=plan,
        vm_name=await _vm_name(visit, one.discrepancy.system_id),
        has_host=await _has_host(visit, one.discrepancy.host_id),
        typed=visit.request.given("typed"),
        problems=refusal.problems,
    )


async def _vm_name(visit: Visit, system_id: str | None) -> str:
    """Returns the name of the VM as it is now; empty if it was deleted, as by a repair."""
    if system_id is None:
        return ""
    found = await visit.services.machines.list(MachineFilter(system_ids=(system_id,)), caller=visit.caller)
    return found[0].hostname if found else ""


async def _has_host(visit: Visit, host_id: int | None) -> bool:
    """Whether the host is still there: what was repaired is kept longer than a host may last."""
    return host_id is not None and bool(await visit.services.hosts.names_of([host_id], caller=visit.caller))


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/discrepancies", handle=show_list, permission=ADMIN),
    Page(path="settings/discrepancies/<number>", handle=show, permission=ADMIN),
    Page(path="settings/discrepancies/<number>", method="POST", handle=approve, permission=ADMIN),
)
