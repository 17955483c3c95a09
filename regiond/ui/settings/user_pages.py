"""Users: the list, a new one, the change of one, and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from regiond.accounts.model import User
from regiond.api.replies import Reply
from regiond.api.resources.accounts.sessions import SESSION
from regiond.api.resources.accounts.users import USER, USERS
from regiond.permissions import Permission
from regiond.ui.account.browser import browser_name
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Choice, Removal, confirm
from regiond.ui.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.table_view import in_memory
from regiond.ui.web_request import page_url

CRUMBS = (("Settings", page_url(SETTINGS)), ("Users", page_url(SETTINGS, "users")))
_NEW = ("username", "email", "is_superuser")
_COLUMNS = {
    "name": lambda user: user.username.lower(),
    "email": lambda user: user.email.lower(),
    "kind": lambda user: (not user.is_admin, user.username.lower()),
    "created": lambda user: user.created_at,
}


async def show_list(visit: Visit) -> Reply:
    text = visit.request.option("q")
    users = await visit.services.users.list(caller=visit.caller)
    found = [one for one in users if text.lower() in f"{one.username} {one.email}".lower()]
    view = in_memory(visit.request, found, _COLUMNS, default="name")
    return await visit.page(
        "settings/users.html", title="Users", section=SETTINGS, view=view, text=text, all_users=len(users)
    )


async def create(visit: Visit) -> Reply:
    request = visit.request

    async def send(values: Mapping[str, str]) -> Reply:
        fields = {**values, "is_superuser": values["is_superuser"] or "false", "password": request.given("password")}
        await visit.act(USERS, "POST", fields=fields)
        return redirect(SETTINGS, "users", values["username"].strip())

    values = {name: request.given(name) for name in _NEW}
    return await forms.create(visit, values, partial(_page, visit, None), send)


async def change(visit: Visit) -> Reply:
    user = await _user(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        fields = {name: value or ("" if name == "email" else "false") for name, value in changes.items()}
        password = visit.request.given("password") or None
        await visit.act(USER, "PUT", path={"username": user.username}, fields={**fields, "password": password})
        return redirect(SETTINGS, "users")

    return await forms.change(visit, _values(user), partial(_page, visit, user), send)


async def _user(visit: Visit) -> User:
    return await visit.services.users.read(visit.path["username"], caller=visit.caller)


def _values(user: User) -> dict[str, str]:
    return {
        "email": user.email,
        "is_superuser": "true" if user.is_admin else "",
        "is_active": "true" if user.is_active else "",
    }


async def _page(visit: Visit, user: User | None, edit: Edit, refusal: Refusal) -> Reply:
    grants = () if user is None else await visit.services.grants.list(visit.caller, username=user.username)
    sessions = () if user is None else await visit.services.sessions.list(visit.caller, user.username)
    return await visit.page(
        "settings/user.html",
        title=user.username if user else "Add user",
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        user=user,
        edit=edit,
        ticked=[name for name, value in edit.values.items() if value == "true"],
        grants=grants,
        sessions=[(one, browser_name(one.user_agent), one.id == visit.session.id) for one in sessions],
        problems=refusal.problems,
    )


async def end_session(visit: Visit) -> Reply:
    await visit.act(SESSION, "DELETE", path={"id": visit.path["number"]})
    return redirect(SETTINGS, "users", visit.path["username"])


async def delete(visit: Visit) -> Reply:
    user = await _user(visit)
    others = sorted(
        one.username for one in await visit.services.users.list(caller=visit.caller) if one.username != user.username
    )
    removal = Removal(
        title=f"Delete {user.username}",
        section=SETTINGS,
        crumbs=(*CRUMBS, (user.username, page_url(SETTINGS, "users", user.username))),
        button="Delete user",
        resource=USER,
        path={"username": user.username},
        name=user.username,
        place=(SETTINGS, "users", user.username),
        after=(SETTINGS, "users"),
        choice=Choice(
            name="transfer_resources_to", label="Its VMs go to", options=others, none_label="Nobody: it has none"
        ),
    )
    return await confirm(visit, removal)


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/users", handle=show_list, permission=ADMIN),
    *form_pages("settings/new-user", create, permission=ADMIN),
    *form_pages("settings/users/<username>", change, permission=ADMIN),
    *form_pages("settings/users/<username>/delete", delete, permission=ADMIN),
    Page(path="settings/users/<username>/sessions/<number>/end", method="POST", handle=end_session, permission=ADMIN),
)
