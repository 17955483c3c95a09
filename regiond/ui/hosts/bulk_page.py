"""Actions on several hosts at once. A page of its own asks for what one needs; each host has its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_host
from regiond.caller import Permission
from regiond.hosts.model import HostView
from regiond.ui import formats
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import Question, Subject, ask
from regiond.ui.hosts import list_page
from regiond.ui.hosts.host_questions import REASON
from regiond.ui.notes import task_in
from regiond.ui.page import Page, Visit, redirect, redirect_with_note
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

_MOST_HOSTS = 200  # the longest page of the list
_AT_ONCE = 8


@frozen(kw_only=True)
class BulkAction:
    """`asks` are the fields that its page asks for; one without fields is done at once."""

    title: str
    method: str
    op: str | None
    effect: str = ""
    undo: str = constant("It can be changed again at any time.")
    asks: tuple[str, ...] = ()
    required: bool = False  # one of `asks`


ACTIONS: Mapping[str, BulkAction] = {
    "refresh": BulkAction(title=constant("Refresh"), method="POST", op="refresh"),
    "open": BulkAction(title=constant("Open again"), method="POST", op="end_maintenance"),
    "close": BulkAction(
        title=constant("Close for placement"),
        method="POST",
        op="maintenance",
        effect=constant("No new VM is placed on these hosts. Their VMs stay and keep running."),
        undo=constant("They can be opened again at any time."),
        asks=("reason",),
    ),
    "tag": BulkAction(
        title=constant("Add tag"),
        method="POST",
        op="add_tag",
        effect=constant("A host that has the tag already is left as it is."),
        asks=("tag",),
        required=True,
    ),
    "untag": BulkAction(
        title=constant("Remove tag"),
        method="POST",
        op="remove_tag",
        effect=constant("A host without the tag is left as it is."),
        asks=("tag",),
        required=True,
    ),
    "place": BulkAction(
        title=constant("Set pool or zone"),
        method="PUT",
        op=None,
        effect=constant("Zone and pool decide which requests may use a host. The VMs stay as they are."),
        asks=("zone", "pool"),
        required=True,
    ),
}


@frozen(kw_only=True)
class Outcome:
    """`answer` is the API's JSON: the operation, if the action is one."""

    host: HostView
    error: str = ""
    answer: Any = None

    @property
    def task(self) -> int:
        return task_in(self.answer)


async def show(visit: Visit) -> Reply:
    """Acts on the ticked hosts. Without JavaScript nothing may be ticked: then the list is shown again."""
    name = visit.request.given("action")
    action, selected = ACTIONS.get(name), visit.request.form.get("selected", ())[:_MOST_HOSTS]
    if action is None or not selected:
        return redirect("hosts")
    hosts = [await find_host(visit.services, {"id": each}) for each in selected]
    if not action.asks:
        return await _run(visit, action, hosts)
    question = bulk_question(name, action, hosts, await _fields(visit, action))
    return await ask(visit, question, lambda: _run(visit, action, hosts))


async def _run(visit: Visit, action: BulkAction, hosts: list[HostView]) -> Reply:
    """Leads back to the list with a note, or shows the outcome of each host if one was refused."""
    fields = {field: visit.request.given(field).strip() or None for field in action.asks}
    if action.required and not any(fields.values()):
        raise InvalidRequest.of({action.asks[0]: ["Nothing is chosen."]})
    limit = asyncio.Semaphore(_AT_ONCE)
    outcomes = await asyncio.gather(*(_act(visit, action, host, fields, limit) for host in hosts))
    if any(one.error for one in outcomes):
        return await visit.page(
            "hosts/bulk_done.html", title=action.title, section="hosts", action=action, outcomes=outcomes
        )
    number = formats.count(len(hosts), "host")
    if action.op != "refresh":
        return redirect_with_note(
            visit, "hosts", text=text("{title}: done for {number}.", title=action.title, number=number)
        )
    if len(outcomes) == 1:
        return redirect_with_note(visit, "hosts", answer=outcomes[0].answer)
    tasks = (text("Tasks"), page_url("tasks", query={"kind": "refresh"}))
    return redirect_with_note(
        visit, "hosts", text=text("The refresh of {number} has begun.", number=number), link=tasks
    )


def bulk_question(name: str, action: BulkAction, hosts: Iterable[HostView], fields: Sequence[FormField]) -> Question:
    found = list(hosts)
    return Question(
        title=f"{action.title}: {formats.count(len(found), 'host')}?",
        section="hosts",
        crumbs=((text("Hosts"), page_url("hosts")),),
        button=action.title,
        back=page_url("hosts"),
        undo=action.undo,
        subjects=[Subject(name=host.name, detail=f"{host.zone.name}, {host.pool.name}") for host in found],
        effects=(action.effect,),
        kept=(("action", name), *(("selected", str(host.id)) for host in found)),
        fields=fields,
    )


async def _fields(visit: Visit, action: BulkAction) -> list[FormField]:
    zones, pools = await visit.services.groups.zones(), await visit.services.groups.pools(caller=visit.caller)
    known = {
        "reason": REASON,
        "tag": FormField(name="tag", label=text("Tag")),
        "zone": _choice("zone", text("Zone"), [zone.name for zone in zones]),
        "pool": _choice("pool", text("Resource pool"), [pool.name for pool in pools]),
    }
    return [known[name] for name in action.asks]


def _choice(name: str, label: str, names: Iterable[str]) -> FormField:
    options = tuple((one, one) for one in names)
    return FormField(name=name, label=label, kind="choice", options=options, none_label=text("As it is"))


async def _act(
    visit: Visit, action: BulkAction, host: HostView, fields: Mapping[str, Any], limit: asyncio.Semaphore
) -> Outcome:
    """One refusal does not stop the others."""
    async with limit:
        try:
            answer = await visit.act(HOST, action.method, action.op, path={"id": str(host.id)}, fields=fields)
        except InnkeeperError as error:
            return Outcome(host=host, error=error.message)
    return Outcome(host=host, answer=answer)


PAGES = (
    Page(path="hosts/bulk", method="POST", handle=show, permission=Permission.ADMIN),
    Page(path="hosts/bulk", handle=list_page.show),  # by which the page of outcomes refreshes its frame
)
