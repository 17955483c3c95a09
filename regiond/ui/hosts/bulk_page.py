"""Actions on several hosts, ticked or all that match: asks where it matters; each has its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from common.words.phrases import first_of
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.hosts.model import HostView
from regiond.requests.caller import Permission
from regiond.requests.identifiers import as_id
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import Question, Subject, ask, is_answered
from regiond.ui.hosts import list_page
from regiond.ui.hosts.host_questions import REASON
from regiond.ui.hosts.list_page import HOSTS
from regiond.ui.lists.list_kind import whole_query
from regiond.ui.rendering.notes import task_in
from regiond.ui.rendering.page import SEE_OTHER, Page, Visit, note_at
from regiond.ui.texts import constant, counted, text
from regiond.ui.web_request import page_url, with_query

MOST_HOSTS = 500  # of one request, as of VMs
_AT_ONCE = 8
_NAME = "name-"  # the field with the name of a host is this and its id
_MOST_NAMED = 10


@frozen(kw_only=True)
class BulkAction:
    """`asks` are the fields that its page asks for. One without fields is done at once with hosts that were ticked."""

    title: str
    method: str
    op: str | None
    effect: str = ""
    undo: str = constant("It can be changed again at any time.")
    asks: tuple[str, ...] = ()
    required: bool = False  # one of `asks`


ACTIONS: Mapping[str, BulkAction] = {
    "refresh": BulkAction(
        title=constant("Refresh"),
        method="POST",
        op="refresh",
        effect=constant(
            "Each host is read again: its capacity, its storage pools and its VMs. Nothing on it is changed."
        ),
        undo="",
    ),
    "open": BulkAction(
        title=constant("Open again"),
        method="POST",
        op="end_maintenance",
        effect=constant("New VMs may be placed on these hosts. One that is open already is left as it is."),
        undo=constant("They can be closed again at any time."),
    ),
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


@frozen(kw_only=True)
class Selected:
    """The hosts of a request, at most MOST_HOSTS, of the `meant` ones. `query` is that of the list they are in.

    `gone` are the names of those that were removed meanwhile, as far as they are known.
    """

    hosts: Sequence[HostView]
    meant: int
    gone: Sequence[str] = ()
    query: str = ""

    @property
    def back(self) -> str:
        return page_url("hosts") + (f"?{self.query}" if self.query else "")


async def show(visit: Visit) -> Reply:
    """Acts on the ticked hosts, or on all that match. Without JavaScript nothing may be ticked: then on none."""
    name = visit.request.given("action")
    action, selected = ACTIONS.get(name), await _selected(visit)
    if action is not None and selected.gone and not selected.hosts:
        return note_at(visit, selected.back, text=gone_text(selected.gone))
    if action is None or not selected.hosts:
        return Reply(status=SEE_OTHER, headers={"Location": selected.back})
    if not action.asks and not is_answered(visit) and not visit.request.given("all"):
        return await _run(visit, action, selected)
    question = bulk_question(name, action, selected, await _fields(visit, action))
    return await ask(visit, question, lambda: _run(visit, action, selected))


async def _selected(visit: Visit) -> Selected:
    """The question names each host that it is about: what matches later is not acted on."""
    request, services = visit.request, visit.services
    query = request.given("query")
    if request.given("all"):
        search = await services.hosts.search(whole_query(HOSTS, with_query(request, query)), caller=visit.caller)
        names = {host.id: host.name for host in sorted(search.found, key=lambda host: host.name)}
    else:
        ids = [found for one in request.form.get("selected", ()) if (found := as_id(one)) is not None]
        names = {one: request.given(f"{_NAME}{one}") or text("host {id}", id=one) for one in ids}
    wanted = list(names)[:MOST_HOSTS]
    hosts = {host.id: host for host in await services.hosts.read_all(wanted, caller=visit.caller)}
    return Selected(
        hosts=[hosts[one] for one in wanted if one in hosts],
        meant=len(names),
        gone=[names[one] for one in wanted if one not in hosts],
        query=query,
    )


def gone_text(names: Sequence[str]) -> str:
    """Says which hosts were removed meanwhile; empty if none was."""
    if not names:
        return ""
    named = first_of(names, _MOST_NAMED)
    return counted(
        "{n} host is no longer there: {names}.", "{n} hosts are no longer there: {names}.", len(names), names=named
    )


async def _run(visit: Visit, action: BulkAction, selected: Selected) -> Reply:
    """Leads back to the list with a note, or shows the outcome of each host if one was refused."""
    fields = {field: visit.request.given(field).strip() or None for field in action.asks}
    if action.required and not any(fields.values()):
        raise InvalidRequest.of({action.asks[0]: ["Nothing is chosen."]})
    limit = asyncio.Semaphore(_AT_ONCE)
    outcomes = await asyncio.gather(*(_act(visit, action, host, fields, limit) for host in selected.hosts))
    if any(one.error for one in outcomes):
        return await visit.page(
            "hosts/bulk_done.html",
            title=action.title,
            section="hosts",
            action=action,
            outcomes=outcomes,
            gone=gone_text(selected.gone),
            back=selected.back,
        )
    number, gone = len(outcomes), gone_text(selected.gone)
    if action.op != "refresh":
        done = counted("{title}: done for {n} host.", "{title}: done for {n} hosts.", number, title=action.title)
        return note_at(visit, selected.back, text=f"{done} {gone}".strip())
    if len(outcomes) == 1 and not gone:
        return note_at(visit, selected.back, answer=outcomes[0].answer)
    tasks = (text("Tasks"), page_url("tasks", query={"kind": "refresh"}))
    begun = counted("The refresh of {n} host has begun.", "The refresh of {n} hosts has begun.", number)
    return note_at(visit, selected.back, text=f"{begun} {gone}".strip(), link=tasks)


def _left_out(selected: Selected) -> Iterator[str]:
    if selected.meant > MOST_HOSTS:
        yield counted(
            "{n} host was selected; one request changes at most {most}.",
            "{n} hosts were selected; one request changes at most {most}.",
            selected.meant,
            most=MOST_HOSTS,
        )
    if selected.gone:
        yield gone_text(selected.gone)


def bulk_question(name: str, action: BulkAction, selected: Selected, fields: Sequence[FormField]) -> Question:
    """It says so if hosts are left out: more than one request changes, or removed meanwhile."""
    hosts = selected.hosts
    return Question(
        title=counted("{title}: {n} host?", "{title}: {n} hosts?", len(hosts), title=action.title),
        section="hosts",
        crumbs=((text("Hosts"), selected.back),),
        button=action.title,
        back=selected.back,
        undo=action.undo,
        subjects=[Subject(name=host.name, detail=f"{host.zone.name}, {host.pool.name}") for host in hosts],
        effects=(*_left_out(selected), action.effect),
        kept=(
            ("action", name),
            ("query", selected.query),
            *(("selected", str(host.id)) for host in hosts),
            *((f"{_NAME}{host.id}", host.name) for host in hosts),  # of one that is gone when the answer comes
        ),
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
