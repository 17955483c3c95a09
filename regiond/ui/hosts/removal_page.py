"""Removes a host or a cluster: first what goes and what stays, then the typed name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, NotFound
from common.values import DriverType
from regiond.api import errors
from regiond.api.declaration.endpoint import Resource
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_clusters import CLUSTER
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_cluster, find_host
from regiond.requests.caller import Permission
from regiond.ui.forms.question import NO_UNDO, Question, ask, show
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.shown_plan import PLAN, PlanGrew, plan_check
from regiond.ui.rendering.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

# Names of options in the page's address, and the fields of the API that they set.
OPTIONS: Mapping[str, str] = {
    "destroy": "decompose",
    "adopted": "destroy_adopted",
    "force": "force",
    "keep_trust": "keep_trust",
}


@frozen(kw_only=True)
class _Words:
    """The texts about a host or a cluster; `list` is the name of the page of all."""

    list: str
    remove: str
    destroy: str
    undo: str
    undo_of_lost: str


_WORDS = {
    "host": _Words(
        list=constant("Hosts"),
        remove=constant("Remove host"),
        destroy=constant("Destroy VMs and remove host"),
        undo=constant("Adding the host again restores its VMs here."),
        undo_of_lost=constant("VMs of the host, if it ever returns, can be adopted."),
    ),
    "cluster": _Words(
        list=constant("Clusters"),
        remove=constant("Remove cluster"),
        destroy=constant("Destroy VMs and remove cluster"),
        undo=constant("Adding the cluster again restores its VMs here."),
        undo_of_lost=constant("VMs of the cluster, if it ever returns, can be adopted."),
    ),
}


@frozen(kw_only=True)
class Removed:
    """The object to be removed: `section` is its part of the address, `noun` is host or cluster."""

    id: int
    name: str
    noun: str
    section: str
    resource: Resource
    has_trust: bool = True  # LXD has our certificate; libvirt has none


async def host(visit: Visit) -> Reply:
    found = await find_host(visit.services, {"id": visit.path["host"]})
    has_trust = found.driver is DriverType.LXD
    removed = Removed(id=found.id, name=found.name, noun="host", section="hosts", resource=HOST, has_trust=has_trust)
    return await _remove(visit, removed)


async def cluster(visit: Visit) -> Reply:
    found = await find_cluster(visit.services, {"id": visit.path["cluster"]})
    removed = Removed(id=found.id, name=found.name, noun="cluster", section="clusters", resource=CLUSTER)
    return await _remove(visit, removed)


async def _remove(visit: Visit, removed: Removed) -> Reply:
    """The form carries the options of the plan that it shows, so that what is confirmed is what was read."""
    request, path = visit.request, {"id": str(removed.id)}
    is_sent = request.method == "POST"
    chosen = {name for name in OPTIONS if (request.given(name) if is_sent else request.option(name))}
    fields = {OPTIONS[name]: "true" for name in chosen}
    plan, blocked = None, ""
    try:
        plan = await visit.act(removed.resource, "DELETE", path=path, fields={**fields, "dry_run": "true"})
    except NotFound:
        raise
    except InnkeeperError as error:
        blocked, status = error.message, errors.reply_for(error).status
    question = removal_question(removed, chosen, runs=not blocked, lost=bool(plan and plan["lost"]))
    values: dict[str, Any] = {"plan": plan, "blocked": blocked, "removed": removed, "chosen": chosen}
    if blocked:
        refusal = Refusal(status=status, problems={})
        return await show(visit, question, refusal, template="hosts/remove.html", **values)

    async def run() -> Reply:
        check_plan = plan_check(request.given(PLAN))
        try:
            found = await visit.act(removed.resource, "DELETE", path=path, fields=fields, check_plan=check_plan)
        except PlanGrew:
            return await _remove(visit, removed)  # shows the plan as it is now
        return _after(visit, found, removed)

    return await ask(visit, question, run, template="hosts/remove.html", **values)


def removal_question(removed: Removed, chosen: Collection[str], *, runs: bool, lost: bool) -> Question:
    """`lost`: the records of VMs end as lost, since the host is dead."""
    destroys, words = "destroy" in chosen, _WORDS[removed.noun]
    undo = NO_UNDO if destroys else words.undo
    if lost:
        undo = words.undo_of_lost
    settings = page_url(removed.section, removed.id, "settings")
    return Question(
        title=text("Remove {name} and destroy its VMs?", name=removed.name)
        if destroys
        else text("Remove {name} and keep its VMs?", name=removed.name),
        section=removed.section,
        crumbs=((words.list, page_url(removed.section)), (removed.name, settings)),
        button=(words.destroy if destroys else words.remove) if runs else "",
        back=settings,
        undo=undo if runs else "",
        typed=removed.name if runs else "",
        is_dangerous=True,
        kept=[(name, "1") for name in OPTIONS if name in chosen],
    )


def _after(visit: Visit, found: Any, removed: Removed) -> Reply:
    """To the list; a cluster has a task for each member."""
    if isinstance(found, list):
        begun = text("Removal of cluster {name} has begun.", name=removed.name)
        return redirect_with_note(visit, removed.section, text=begun, link=(text("Tasks"), page_url("tasks")))
    return redirect_with_note(visit, removed.section, answer=found, text=text("{name} is removed.", name=removed.name))


PAGES = (
    *form_pages("hosts/<host>/remove", host, permission=Permission.ADMIN),
    *form_pages("clusters/<cluster>/remove", cluster, permission=Permission.ADMIN),
)
