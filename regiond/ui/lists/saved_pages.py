"""Saved filters: saving one above a list, all of them below the account, and the columns of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from common.errors import InnkeeperError
from regiond.accounts.model import SavedFilter
from regiond.api.replies import Reply
from regiond.api.resources.accounts.lists import LIST_COLUMNS, SAVED_FILTER, SAVED_FILTERS
from regiond.api.urls import id_in
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import SEE_OTHER, Page, Visit, form_pages, redirect
from regiond.ui.texts import constant, text
from regiond.ui.web_request import UI, page_url

FILTERS = (SECTION, "filters")
_NAMES: Mapping[str, str] = {"hosts": constant("Hosts"), "vms": constant("VMs")}
_LIST = re.compile(re.escape(UI) + r"(vms|hosts|(hosts|clusters)/[0-9]{1,9}/vms)(\?[^\s#]*)?", re.ASCII)


async def show_list(visit: Visit) -> Reply:
    saved = await visit.services.lists.filters(visit.caller)
    return await account_page(visit, "account/filters.html", "filters", saved=saved, list_names=_NAMES, use_url=use_url)


def use_url(saved: SavedFilter) -> str:
    return f"{page_url(saved.list)}?{urlencode({'q': saved.query})}"


async def add(visit: Visit) -> Reply:
    """Returns to the list where it was saved, which shows it now. A refusal is a page with what was sent."""
    request, refusal = visit.request, NOT_REFUSED
    values = {name: request.given(name) or request.option(name) for name in ("list", "name", "query")}
    back = _list_address(request.given("back")) or page_url(*FILTERS)
    if request.method == "POST":
        try:
            await visit.act(SAVED_FILTERS, "POST", fields=values)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return Reply(status=SEE_OTHER, headers={"Location": back})
    return await _form(visit, text("Save filter"), refusal, {**values, "back": request.given("back")}, is_new=True)


async def change(visit: Visit) -> Reply:
    saved, request, refusal = await _saved(visit), visit.request, NOT_REFUSED
    values = {name: request.given(name, getattr(saved, name)) for name in ("name", "query")}
    if request.method == "POST":
        try:
            await visit.act(SAVED_FILTER, "PUT", path={"id": str(saved.id)}, fields=values)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(*FILTERS)
    return await _form(
        visit, text("Change filter {name}", name=saved.name), refusal, {**values, "list": saved.list}, is_new=False
    )


async def _form(visit: Visit, title: str, refusal: Refusal, values: Mapping[str, str], *, is_new: bool) -> Reply:
    return await visit.page(
        "account/filter.html",
        title=title,
        section=SECTION,
        status=refusal.status,
        crumbs=(*CRUMBS, (text("Saved filters"), page_url(*FILTERS))),
        problems=refusal.problems,
        values=values,
        is_new=is_new,
        list_names=_NAMES,
    )


async def delete(visit: Visit) -> Reply:
    saved = await _saved(visit)
    removal = Removal(
        title=text("Delete filter {name}", name=saved.name),
        section=SECTION,
        crumbs=(*CRUMBS, (text("Saved filters"), page_url(*FILTERS))),
        button=text("Delete filter"),
        resource=SAVED_FILTER,
        path={"id": str(saved.id)},
        place=FILTERS,
    )
    return await confirm(visit, removal)


async def choose_columns(visit: Visit) -> Reply:
    """Remembers the columns, or forgets them, and shows the list with them."""
    request, path = visit.request, {"list": visit.path["list"]}
    if request.given("default"):
        await visit.act(LIST_COLUMNS, "DELETE", path=path)
    else:
        await visit.act(LIST_COLUMNS, "PUT", path=path, fields={"columns": list(request.form.get("columns", ()))})
    return Reply(status=SEE_OTHER, headers={"Location": _list_address(request.given("back")) or UI})


def _list_address(text: str) -> str | None:
    """Returns the address if it is that of a list; None for another one."""
    return text if _LIST.fullmatch(text) else None


async def _saved(visit: Visit) -> SavedFilter:
    return await visit.services.lists.read_filter(
        id_in(visit.path["filter"], text("saved filter")), caller=visit.caller
    )


PAGES = (
    Page(path="account/filters", handle=show_list),
    *form_pages("account/filters/add", add),
    *form_pages("account/filters/<filter>", change),
    *form_pages("account/filters/<filter>/delete", delete),
    Page(path="lists/<list>/columns", method="POST", handle=choose_columns),
)
