"""Actions on several hosts at once. A page of its own asks for what one needs; each host has its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_host
from regiond.hosts.model import HostView
from regiond.permissions import Permission
from regiond.ui.hosts import list_page
from regiond.ui.page import Page, Visit, redirect

_MOST_HOSTS = 200  # the longest page of the list
_AT_ONCE = 8


@frozen(kw_only=True)
class BulkAction:
    """`asks` are the fields that its page asks for; one without fields is done at once."""

    title: str
    method: str
    op: str | None
    effect: str = ""
    asks: tuple[str, ...] = ()
    required: bool = False  # one of `asks`


ACTIONS: Mapping[str, BulkAction] = {
    "refresh": BulkAction(title="Refresh", method="POST", op="refresh"),
    "open": BulkAction(title="Open again", method="POST", op="end_maintenance"),
    "close": BulkAction(
        title="Close for placement",
        method="POST",
        op="maintenance",
        effect="No new VM is placed on these hosts. Their VMs stay and keep running. It can be undone.",
        asks=("reason",),
    ),
    "tag": BulkAction(
        title="Add tag",
        method="POST",
        op="add_tag",
        effect="A host that has the tag already is left as it is.",
        asks=("tag",),
        required=True,
    ),
    "untag": BulkAction(
        title="Remove tag",
        method="POST",
        op="remove_tag",
        effect="A host without the tag is left as it is.",
        asks=("tag",),
        required=True,
    ),
    "place": BulkAction(
        title="Set pool or zone",
        method="PUT",
        op=None,
        effect="Zone and pool decide which requests may use a host. The VMs stay as they are.",
        asks=("zone", "pool"),
        required=True,
    ),
}


@frozen(kw_only=True)
class Outcome:
    """`task` is the id of the operation, if the action is one."""

    host: HostView
    error: str = ""
    task: int | None = None


async def show(visit: Visit) -> Reply:
    """Acts on the ticked hosts. Without JavaScript nothing may be ticked: then the list is shown again."""
    name = visit.request.given("action")
    action, selected = ACTIONS.get(name), visit.request.form.get("selected", ())[:_MOST_HOSTS]
    if action is None or not selected:
        return redirect("hosts")
    hosts = [await find_host(visit.services, {"id": each}) for each in selected]
    fields = {field: visit.request.given(field).strip() or None for field in action.asks}
    is_complete = not action.asks or (visit.request.given("sent") and (any(fields.values()) or not action.required))
    if not is_complete:
        return await _ask(visit, name, action, hosts)
    limit = asyncio.Semaphore(_AT_ONCE)
    outcomes = await asyncio.gather(*(_act(visit, action, host, fields, limit) for host in hosts))
    return await visit.page(
        "hosts/bulk_done.html", title=action.title, section="hosts", action=action, outcomes=outcomes
    )


async def _ask(visit: Visit, name: str, action: BulkAction, hosts: list[HostView]) -> Reply:
    is_missing = bool(visit.request.given("sent"))
    zones, pools = await visit.services.groups.zones(), await visit.services.groups.pools(caller=visit.caller)
    return await visit.page(
        "hosts/bulk.html",
        title=action.title,
        section="hosts",
        status=422 if is_missing else 200,
        name=name,
        action=action,
        hosts=hosts,
        zones=[zone.name for zone in zones],
        pools=[pool.name for pool in pools],
        problems={action.asks[0]: ["Nothing is chosen."]} if is_missing else {},
    )


async def _act(
    visit: Visit, action: BulkAction, host: HostView, fields: Mapping[str, Any], limit: asyncio.Semaphore
) -> Outcome:
    """One refusal does not stop the others."""
    async with limit:
        try:
            answer = await visit.act(HOST, action.method, action.op, path={"id": str(host.id)}, fields=fields)
        except InnkeeperError as error:
            return Outcome(host=host, error=error.message)
    return Outcome(host=host, task=answer["id"] if action.op == "refresh" else None)


PAGES = (
    Page(path="hosts/bulk", method="POST", handle=show, permission=Permission.ADMIN),
    Page(path="hosts/bulk", handle=list_page.show),  # by which the page of outcomes refreshes its frame
)
