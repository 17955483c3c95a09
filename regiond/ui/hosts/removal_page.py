"""Removes a host or a cluster: first what goes and what stays, then the typed name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from regiond.api import errors
from regiond.api.declaration.endpoint import Resource
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_clusters import CLUSTER
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_cluster, find_host
from regiond.permissions import Permission
from regiond.ui.page import Visit, form_pages, redirect

# Names of options in the page's address, and the fields of the API that they set.
OPTIONS: Mapping[str, str] = {
    "destroy": "decompose",
    "adopted": "destroy_adopted",
    "force": "force",
    "keep_trust": "keep_trust",
}


@frozen(kw_only=True)
class Removed:
    """The object to be removed: `section` is its part of the address, `noun` what texts call it."""

    id: int
    name: str
    noun: str
    section: str
    resource: Resource


async def host(visit: Visit) -> Reply:
    found = await find_host(visit.services, {"id": visit.path["host"]})
    return await _remove(visit, Removed(id=found.id, name=found.name, noun="host", section="hosts", resource=HOST))


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
    typed, problem, status = request.given("name"), "", 200
    plan: Any = None
    try:
        if is_sent and typed == removed.name:
            return _after(await visit.act(removed.resource, "DELETE", path=path, fields=fields), removed)
        if is_sent:
            problem, status = f"Type the name of the {removed.noun}, {removed.name}.", 422
        plan = await visit.act(removed.resource, "DELETE", path=path, fields={**fields, "dry_run": "true"})
    except InnkeeperError as error:
        problem, status = error.message, errors.reply_for(error).status
    return await visit.page(
        "hosts/remove.html",
        title=f"Remove {removed.name}",
        section=removed.section,
        status=status,
        removed=removed,
        plan=plan,
        chosen=chosen,
        options=OPTIONS,
        typed=typed,
        problem=problem,
    )


def _after(found: Any, removed: Removed) -> Reply:
    """To the task; of a cluster there are several."""
    if isinstance(found, dict) and "id" in found:
        return redirect("tasks", found["id"])
    return redirect("tasks") if isinstance(found, list) else redirect(removed.section)


PAGES = (
    *form_pages("hosts/<host>/remove", host, permission=Permission.ADMIN),
    *form_pages("clusters/<cluster>/remove", cluster, permission=Permission.ADMIN),
)
