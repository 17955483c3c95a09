"""One's own account: e-mail, roles, quotas and password; and the frame of its other pages."""

from __future__ import annotations

from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.accounts.accounts import ACCOUNT
from regiond.ui.forms.refusal import NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.rendering.page import Page, Visit, redirect
from regiond.ui.settings.quota_pages import uses
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

SECTION = "account"
TABS = (
    ("", constant("Profile")),
    ("keys", constant("API keys")),
    ("ssh-keys", constant("SSH keys")),
    ("sessions", constant("Sessions")),
    ("clients", constant("RPC clients")),
    ("files", constant("Files")),
    ("filters", constant("Saved filters")),
)
CRUMBS = ((constant("Account"), page_url(SECTION)),)


async def account_page(visit: Visit, template: str, tab: str, refusal: Refusal = NOT_REFUSED, **values: Any) -> Reply:
    """A page of the account, below its tabs."""
    return await visit.page(
        template,
        title=text("{tab} of {name}", tab=dict(TABS)[tab], name=visit.caller.username),
        section=SECTION,
        status=refusal.status,
        tabs=TABS,
        tab=tab,
        problems=refusal.problems,
        **values,
    )


async def show(visit: Visit) -> Reply:
    return await _profile(visit, NOT_REFUSED)


async def change_password(visit: Visit) -> Reply:
    """All sessions of the user end, so that the login page is next."""
    request = visit.request
    if request.given("password") != request.given("repeated"):
        problems = {"repeated": [text("This is not the same password.")]}
        return await _profile(visit, Refusal(status=UNPROCESSABLE, problems=problems))
    fields = {"current_password": request.given("current_password"), "password": request.given("password")}
    try:
        await visit.act(ACCOUNT, "POST", "change_password", fields=fields)
    except InnkeeperError as error:
        return await _profile(visit, Refusal.of(error))
    return redirect(SECTION)


async def _profile(visit: Visit, refusal: Refusal) -> Reply:
    services, caller = visit.services, visit.caller
    quotas = await services.quotas.list(caller=caller)
    return await account_page(
        visit,
        "account/profile.html",
        "",
        refusal,
        grants=await services.grants.list(caller, username=caller.username),
        quotas=[(quota, uses(quota)) for quota in quotas if quota.username in {None, caller.username}],
    )


PAGES = (
    Page(path="account", handle=show),
    Page(path="account/password", handle=show),  # by which the page of a refused one refreshes itself
    Page(path="account/password", method="POST", handle=change_password),
)
