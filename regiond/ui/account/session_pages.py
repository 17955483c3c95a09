"""One's own sessions of these pages: the list, and the end of one."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.api.resources.accounts.sessions import SESSION
from regiond.ui.account.account_pages import SECTION, account_page
from regiond.ui.account.browser import browser_name
from regiond.ui.page import Page, Visit, redirect


async def show(visit: Visit) -> Reply:
    sessions = await visit.services.sessions.list(visit.caller)
    return await account_page(
        visit,
        "account/sessions.html",
        "sessions",
        sessions=[(one, browser_name(one.user_agent), one.id == visit.session.id) for one in sessions],
    )


async def end(visit: Visit) -> Reply:
    await visit.act(SESSION, "DELETE", path={"id": visit.path["number"]})
    return redirect(SECTION, "sessions")


PAGES = (
    Page(path="account/sessions", handle=show),
    Page(path="account/sessions/<number>/end", method="POST", handle=end),
)
