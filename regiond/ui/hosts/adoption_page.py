"""Adopts guests that Innkeeper did not create, as they are, and forgets adopted ones again."""

from __future__ import annotations

from typing import Any

from common.errors import InnkeeperError
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.api.resources.lookups import find_host
from regiond.api.resources.machines import MACHINE
from regiond.api.resources.vm_hosts import HOST
from regiond.permissions import Permission
from regiond.ui.page import Visit, form_pages, redirect


async def adopt(visit: Visit) -> Reply:
    """The form for one guest; for all of a host, and when one is refused, the outcome of each."""
    host = await find_host(visit.services, {"id": visit.path["host"]})
    given, path = visit.request.given, {"id": str(host.id)}
    everything, guest_id = bool(given("all")), given("guest") or visit.request.option("guest")
    values: dict[str, Any] = {"host": host, "guest": None, "hostname": given("hostname").strip(), "error": ""}
    if not everything:
        values["guest"] = await visit.services.hosts.guest(_number(guest_id), caller=visit.caller)
    if visit.request.method != "POST":
        return await _page(visit, "adopt", title=f"Adopt {values['guest'].name}", **values)
    fields = {"all": "true"} if everything else {"guests": guest_id, "hostname": values["hostname"] or None}
    try:
        outcomes = await visit.act(HOST, "POST", "adopt", path=path, fields=fields)
    except InnkeeperError as error:
        values["error"] = error.message
        template = "adopted" if everything else "adopt"
        status = errors.reply_for(error).status
        return await _page(visit, template, title="Adopt", status=status, outcomes=(), **values)
    if isinstance(outcomes, dict):  # the operation of a single guest
        return redirect("tasks", outcomes["id"])
    return await _page(visit, "adopted", title=f"Adopted on {host.name}", outcomes=outcomes, **values)


async def forget(visit: Visit) -> Reply:
    """What forgetting does, and with the button its task."""
    host = await find_host(visit.services, {"id": visit.path["host"]})
    system_id = visit.request.given("vm") or visit.request.option("vm")
    machine = await visit.services.machines.read(system_id, caller=visit.caller)
    path = {"system_id": machine.system_id}
    if visit.request.method == "POST":
        operation = await visit.act(MACHINE, "POST", "forget", path=path)
        return redirect("tasks", operation["id"])
    plan = await visit.act(MACHINE, "POST", "forget", path=path, fields={"dry_run": "true"})
    return await _page(visit, "forget", title=f"Forget {machine.hostname}", host=host, vm=machine, plan=plan)


async def _page(visit: Visit, template: str, *, title: str, status: int = 200, **values: Any) -> Reply:
    return await visit.page(f"hosts/{template}.html", title=title, section="hosts", status=status, **values)


def _number(text: str) -> int:
    """0 is no id."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


PAGES = (
    *form_pages("hosts/<host>/adopt", adopt, permission=Permission.ADMIN),
    *form_pages("hosts/<host>/forget", forget, permission=Permission.ADMIN),
)
