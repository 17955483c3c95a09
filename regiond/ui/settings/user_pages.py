"""Users: the list, a new one, the change of one, and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from regiond.accounts.model import User
from regiond.api.replies import Reply
from regiond.api.resources.accounts.users import USER, USERS
from regiond.requests.caller import Permission
from regiond.ui.forms import session_end
from regiond.ui.forms.form_field import SECRET, TICK, FormField
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.forms.removal import Choice, Removal
from regiond.ui.rendering.page import Page, Visit, form_pages
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url
from regiond.ui.words.browser_names import browser_name

CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Users"), page_url(SETTINGS, "users")))
_EMAIL = FormField(name="email", label=constant("E-mail"), kind="email", optional=True)
_IS_ADMIN = FormField(name="is_superuser", label=constant("Administrator"), kind=TICK, cleared="false")
_NEW = (
    FormField(name="username", label=constant("Name"), help=constant("Letters, digits and _ . @ + - only")),
    _EMAIL,
    FormField(
        name="password",
        label=constant("Password"),
        kind=SECRET,
        help=constant("At least 12 characters, and not a common one"),
    ),
    _IS_ADMIN,
)
_CHANGE = (
    _EMAIL,
    FormField(
        name="password",
        label=constant("New password"),
        kind=SECRET,
        optional=True,
        help=constant("It replaces the present one, and ends the user's logins"),
    ),
    _IS_ADMIN,
    FormField(
        name="is_active",
        label=constant("May log in"),
        kind=TICK,
        help=constant("without this, its API keys and RPC clients are rejected too"),
        cleared="false",
    ),
)
_COLUMNS = {
    "name": lambda user: user.username.lower(),
    "email": lambda user: user.email.lower(),
    "kind": lambda user: (not user.is_admin, user.username.lower()),
    "created": lambda user: user.created_at,
}


async def show_list(visit: Visit) -> Reply:
    wanted = visit.request.option("q")
    users = await visit.services.users.list(caller=visit.caller)
    found = [one for one in users if wanted.lower() in f"{one.username} {one.email}".lower()]
    view = in_memory(visit.request, found, _COLUMNS, default="name")
    return await visit.page(
        "settings/users.html", title=text("Users"), section=SETTINGS, view=view, text=wanted, all_users=len(users)
    )


async def end_session(visit: Visit) -> Reply:
    username = visit.path["username"]
    place = (SETTINGS, "users", username)
    return await session_end.end_session(visit, username, place, SETTINGS, (*CRUMBS, (username, page_url(*place))))


async def _fields(_visit: Visit, user: User | None) -> tuple[FormField, ...]:
    return _NEW if user is None else _CHANGE


async def _more(visit: Visit, user: User | None) -> Mapping[str, Any]:
    if user is None:
        return {}
    grants = await visit.services.grants.list(visit.caller, username=user.username)
    sessions = await visit.services.sessions.list(visit.caller, user.username)
    shown = [(one, browser_name(one.user_agent), one.id == visit.session.id) for one in sessions]
    return {"grants": grants, "sessions": shown}


async def _removal(visit: Visit, user: User, removal: Removal) -> Removal:
    users = await visit.services.users.list(caller=visit.caller)
    others = sorted(one.username for one in users if one.username != user.username and one.is_active)
    owned = await visit.services.users.belongings(visit.caller, user.username)
    place = (SETTINGS, "users", user.username)
    choice = Choice(
        name="transfer_resources_to",
        label=text("What it owns goes to"),
        options=others,
        none_label=text("Choose a user") if owned else text("Nobody: it owns nothing"),
        nobody=text("Administrators alone") if owned and not any(one.needs_owner for one in owned) else "",
        nobody_field="leave_to_administrators",
    )
    crumbs = (*CRUMBS, (user.username, page_url(*place)))
    return evolve(
        removal, crumbs=crumbs, place=place, after=removal.place, choice=choice, left=[one.record for one in owned]
    )


USER_KIND = ObjectKind(
    word=constant("user"),
    section=SETTINGS,
    crumbs=CRUMBS,
    place=(SETTINGS, "users"),
    many=USERS,
    one=USER,
    key=lambda user: str(user.username),
    name=lambda user: str(user.username),
    fields=_fields,
    added=lambda made: (SETTINGS, "users", made["username"]),
    removal=_removal,
    more=_more,
    template="settings/user.html",
)
ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/users", handle=show_list, permission=ADMIN),
    *object_pages(USER_KIND, add="settings/new-user", one="settings/users/<id>"),
    *form_pages("settings/users/<username>/sessions/<number>/end", end_session, permission=ADMIN),
)
