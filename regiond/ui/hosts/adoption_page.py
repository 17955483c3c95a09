"""Adopts guests that Innkeeper did not create, as they are, and forgets adopted ones again."""

from __future__ import annotations

from typing import Any

from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.machines.machines import MACHINE
from regiond.api.resources.shared.lookups import find_host
from regiond.permissions import Permission
from regiond.ui.page import Visit, form_pages, redirect

_FORM_FIELDS = ("hostname", "owner")


async def adopt(visit: Visit) -> Reply:
    """The form for one guest or for all of a host; then the task, or the outcome of each."""
    host = await find_host(visit.services, {"id": visit.path["host"]})
    given, path = visit.request.given, {"id": str(host.id)}
    everything = bool(given("all") or visit.request.option("all"))
    guest_id = given("guest") or visit.request.option("guest")
    users = [one.username for one in await visit.services.users.list(caller=visit.caller) if one.is_active]
    values: dict[str, Any] = {
        "host": host, "guest": None, "hostname": given("hostname").strip(), "problems": {}, "users": users,
        "owner": given("owner") or visit.caller.username, "title": f"Adopt all VMs on {host.name}",
    }  # fmt: skip
    if not everything:
        values["guest"] = await visit.services.hosts.guest(_number(guest_id), caller=visit.caller)
        values["title"] = f"Adopt {values['guest'].name}"
    if visit.request.method != "POST":
        return await _page(visit, "adopt", **values)
    fields = {"all": "true"} if everything else {"guests": guest_id, "hostname": values["hostname"] or None}
    fields["owner"] = values["owner"]
    try:
        outcomes = await visit.act(HOST, "POST", "adopt", path=path, fields=fields)
    except InnkeeperError as error:
        values["problems"] = _problems(error)
        return await _page(visit, "adopt", status=errors.reply_for(error).status, **values)
    if isinstance(outcomes, dict):  # the operation of a single guest
        return redirect("tasks", outcomes["id"])
    return await _page(visit, "adopted", title=f"Adopted on {host.name}", host=host, outcomes=outcomes)


def _problems(error: InnkeeperError) -> dict[str, list[str]]:
    """The messages by the fields of the form; those of other fields are about all of it."""
    fields = error.fields if isinstance(error, InvalidRequest) else {}
    found: dict[str, list[str]] = {name: list(fields[name]) for name in _FORM_FIELDS if name in fields}
    others = [text for name, texts in fields.items() if name not in found for text in texts]
    if others or not found:
        found[""] = others or [error.message]
    return found


async def forget(visit: Visit) -> Reply:
    """Shows what forgetting does, and with the button starts its task."""
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
