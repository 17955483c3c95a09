"""Ends a session of the web pages after a question, for its user and for administrators."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import NotFound
from regiond.accounts.model import SessionView
from regiond.api.replies import Reply
from regiond.api.resources.accounts.sessions import SESSION
from regiond.ui.forms.question import Question, Subject, ask
from regiond.ui.rendering.page import Visit, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.web_request import page_url
from regiond.ui.words.browser_names import browser_name


async def end_session(
    visit: Visit, username: str, place: Sequence[str | int], section: str, crumbs: Sequence[tuple[str, str]]
) -> Reply:
    """`place` is the page with the list of the user's sessions."""
    number = visit.path["number"]
    sessions = await visit.services.sessions.list(visit.caller, username)
    one = next((each for each in sessions if str(each.id) == number), None)
    if one is None:
        raise NotFound(f"{username} has no session {number}; it may have ended.")

    async def run() -> Reply:
        await visit.act(SESSION, "DELETE", path={"id": number})
        ended = text("The session of {browser} has ended.", browser=browser_name(one.user_agent))
        return redirect_with_note(visit, *place, text=ended)

    return await ask(visit, _question(visit, one, place, section, crumbs), run)


def _question(
    visit: Visit, one: SessionView, place: Sequence[str | int], section: str, crumbs: Sequence[tuple[str, str]]
) -> Question:
    browser, is_this = browser_name(one.user_agent), one.id == visit.session.id
    used = formats.ago(one.last_seen_at, visit.now)
    return Question(
        title=text("End the session of {browser}?", browser=browser),
        section=section,
        crumbs=crumbs,
        button=text("End session"),
        back=page_url(*place),
        undo=text("You can log in again.") if is_this else text("{name} can log in again.", name=one.username),
        subjects=(
            Subject(
                name=browser,
                detail=text("of {name}, at {address}, used {ago}", name=one.username, address=one.address, ago=used),
            ),
        ),
        effects=(
            text("You are logged out.") if is_this else text("It is logged out at once. What is typed there is lost."),
        ),
    )
