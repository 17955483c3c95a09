"""Users: the list, a new one, the change of one, and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError
from regiond.accounts.model import User
from regiond.api.replies import Reply
from regiond.api.resources.users import USER, USERS
from regiond.permissions import Permission
from regiond.ui.edit import CONFLICT, Edit, begin_edit, read_edit
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import Refusal
from regiond.ui.removal import Choice, Removal, confirm
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.table_view import in_memory
from regiond.ui.web_request import page_url

CRUMBS = (("Settings", page_url(SETTINGS)), ("Users", page_url(SETTINGS, "users")))
_NEW = {"username": "", "email": "", "is_superuser": ""}
_COLUMNS = {
    "name": lambda user: user.username.lower(),
    "email": lambda user: user.email.lower(),
    "kind": lambda user: (not user.is_admin, user.username.lower()),
    "created": lambda user: user.created_at,
}


async def show_list(visit: Visit) -> Reply:
    text = visit.request.option("q")
    users = await visit.services.users.list()
    found = [one for one in users if text.lower() in f"{one.username} {one.email}".lower()]
    view = in_memory(visit.request, found, _COLUMNS, default="name")
    return await visit.page(
        "settings/users.html", title="Users", section=SETTINGS, view=view, text=text, all_users=len(users)
    )


async def create(visit: Visit) -> Reply:
    request, refusal = visit.request, None
    values = {name: request.given(name) for name in _NEW}
    if request.method == "POST":
        fields = {**values, "is_superuser": values["is_superuser"] or "false", "password": request.given("password")}
        try:
            await visit.act(USERS, "POST", fields=fields)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(SETTINGS, "users", values["username"].strip())
    return await _page(visit, None, begin_edit(values), refusal)


async def change(visit: Visit) -> Reply:
    user, request = await _user(visit), visit.request
    if request.method != "POST":
        return await _page(visit, user, begin_edit(_values(user)), None)
    edit, refusal = read_edit(request, _values(user)), None
    if edit.conflicts:
        return await _page(visit, user, edit, Refusal(status=CONFLICT, problems={}))
    fields = {name: value or ("" if name == "email" else "false") for name, value in edit.changes.items()}
    try:
        password = request.given("password") or None
        await visit.act(USER, "PUT", path={"username": user.username}, fields={**fields, "password": password})
    except InnkeeperError as error:
        refusal = Refusal.of(error)
        return await _page(visit, user, edit, refusal)
    return redirect(SETTINGS, "users")


async def _user(visit: Visit) -> User:
    return await visit.services.users.read(visit.path["username"])


def _values(user: User) -> dict[str, str]:
    return {
        "email": user.email,
        "is_superuser": "true" if user.is_admin else "",
        "is_active": "true" if user.is_active else "",
    }


async def _page(visit: Visit, user: User | None, edit: Edit, refusal: Refusal | None) -> Reply:
    grants = () if user is None else await visit.services.grants.list(visit.caller, username=user.username)
    sessions = () if user is None else await visit.services.sessions.list(visit.caller, user.username)
    return await visit.page(
        "settings/user.html",
        title=user.username if user else "Add user",
        section=SETTINGS,
        status=refusal.status if refusal else 200,
        crumbs=CRUMBS,
        user=user,
        edit=edit,
        ticked=[name for name, value in edit.values.items() if value == "true"],
        grants=grants,
        sessions=len(sessions),
        problems=refusal.problems if refusal else {},
    )


async def delete(visit: Visit) -> Reply:
    user = await _user(visit)
    others = sorted(one.username for one in await visit.services.users.list() if one.username != user.username)
    removal = Removal(
        title=f"Delete {user.username}",
        section=SETTINGS,
        crumbs=(*CRUMBS, (user.username, page_url(SETTINGS, "users", user.username))),
        button="Delete user",
        name=user.username,
        place=(SETTINGS, "users", user.username),
        after=(SETTINGS, "users"),
        choice=Choice(
            name="transfer_resources_to", label="Its VMs go to", options=others, none_label="Nobody: it has none"
        ),
    )

    async def run(fields: Mapping[str, Any]) -> Any:
        return await visit.act(USER, "DELETE", path={"username": user.username}, fields=fields)

    return await confirm(visit, removal, run)


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/users", handle=show_list, permission=ADMIN),
    Page(path="settings/new-user", handle=create, permission=ADMIN),
    Page(path="settings/new-user", method="POST", handle=create, permission=ADMIN),
    Page(path="settings/users/<username>", handle=change, permission=ADMIN),
    Page(path="settings/users/<username>", method="POST", handle=change, permission=ADMIN),
    Page(path="settings/users/<username>/delete", handle=delete, permission=ADMIN),
    Page(path="settings/users/<username>/delete", method="POST", handle=delete, permission=ADMIN),
)
