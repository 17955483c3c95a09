"""Composes a VM: the form, with a live preview of its problems and of where it would be placed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOSTS
from regiond.api.urls import operation_id_in
from regiond.permissions import Permission
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.machines.compose_again import form_again
from regiond.ui.machines.compose_form import ComposeForm, problems_of, read_form
from regiond.ui.page import Page, Visit, form_pages, redirect

_MOST_HOSTS = 500
_PREVIEW_FIELDS = frozenset({"hostname", "power_on"})


async def show(visit: Visit) -> Reply:
    """The form; when it was sent, the task or what has to change."""
    form, action = read_form(visit.request), visit.request.given("action")
    if visit.request.method != "POST":
        form = await _requested_before(visit) or form
        return await _page(visit, form, await _preview(visit, form))
    if action != "compose":
        return await _page(visit, form.changed(action), None)
    try:
        operation = await visit.act(
            HOSTS, "POST", "compose", fields=form.fields(), idempotency_key=visit.request.given("once") or None
        )
    except InvalidRequest as error:
        return await _page(visit, form, None, problems=problems_of(error), status=422)
    except InnkeeperError as error:
        status = errors.reply_for(error).status
        return await _page(visit, form, await _preview(visit, form), problems={"": [error.message]}, status=status)
    return redirect("tasks", operation["id"])


async def _requested_before(visit: Visit) -> ComposeForm | None:
    """Returns what the task of the address was to compose."""
    if not (task_id := visit.request.option("task")):
        return None
    task = await visit.services.operations.read(operation_id_in(task_id), caller=visit.caller)
    return form_again(task.request)


async def preview(visit: Visit) -> Reply:
    """Only the aside: what is wrong so far, or where the VM would be placed."""
    found = await _preview(visit, read_form(visit.request))
    return visit.fragment("machines/compose_preview_only.html", preview=found)


async def _preview(visit: Visit, form: ComposeForm) -> Mapping[str, Any]:
    """The placement, or `problems` by field."""
    try:
        fields = {name: value for name, value in form.fields().items() if name not in _PREVIEW_FIELDS}
        return {"placement": await visit.act(HOSTS, "POST", "place", fields=fields), "problems": {}}
    except InvalidRequest as error:
        return {"placement": None, "problems": problems_of(error)}
    except InnkeeperError as error:
        return {"placement": None, "problems": {"": [error.message]}}


async def _page(
    visit: Visit,
    form: ComposeForm,
    previewed: Mapping[str, Any] | None,
    *,
    problems: Mapping[str, list[str]] | None = None,
    status: int = 200,
) -> Reply:
    rows = await read_rows(visit)
    hosts = [row for row in rows[:_MOST_HOSTS] if visit.caller.may_operate(row.pool_id)]
    return await visit.page(
        "machines/compose.html",
        title="Compose VM",
        section="vms",
        status=status,
        form=form,
        preview=previewed,
        problems=problems or {},
        hosts=hosts,
        storage_pools=sorted({pool.name for row in hosts for pool in row.view.storage_pools}),
        spaces=await visit.services.networks.spaces(),
        subnets=await visit.services.networks.subnets(),
        once=visit.request.given("once") or secrets.token_urlsafe(16),
    )


PAGES = (
    *form_pages("compose", show, permission=Permission.OPERATOR),
    Page(path="compose/preview", method="POST", handle=preview, permission=Permission.OPERATOR),
)
