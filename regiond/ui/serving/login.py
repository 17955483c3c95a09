"""Login and logout, and the question of pages whether the login lasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from attrs import evolve, frozen

from common.errors import InnkeeperError, NotAllowed, NotAuthenticated
from regiond.accounts.model import Session
from regiond.accounts.sessions import Sessions
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.audit.model import AuditAnswer, AuditRequest, AuditResult
from regiond.audit.service import Audit
from regiond.ui.forms.refusal import public_message
from regiond.ui.rendering.page import SEE_OTHER, Page, Visit
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.serving.kept_form import NO_FORM, KeptForm, carried_form
from regiond.ui.serving.session_cookie import clear_cookie, set_cookie
from regiond.ui.texts import text
from regiond.ui.web_request import UI, WebRequest, own_address

FORM_GRACE = timedelta(days=1)  # a browser keeps the cookie of an ended session, which proves whose form it sends


@frozen(kw_only=True)
class LoginPage:
    """The page on which sessions begin and end."""

    sessions: Sessions
    audit: Audit
    renderer: Renderer
    now: Callable[[], datetime]

    async def answer(self, request: WebRequest) -> Reply:
        """The form, or the answer to it."""
        if request.method == "POST":
            return await self._log_in(request)
        notice = text("Your session has ended. Log in again.") if request.option("ended") else ""
        return self._form(request, next_url=_next(request.option("next")), notice=notice)

    async def _log_in(self, request: WebRequest) -> Reply:
        username, next_url = request.given("username"), _next(request.given("next"))
        try:
            _require_own_page(request)
            new = await self.sessions.log_in(
                username,
                request.given("password"),
                address=request.address,
                user_agent=request.user_agent,
                old_token=request.cookie,
            )
        except InnkeeperError as error:
            reply = errors.reply_for(error)
            if isinstance(error, NotAuthenticated):
                account = error.details.get("account")  # what else was typed may be a password
                await self._record(request, account, AuditResult.REJECTED, reply.status, error.code)
            message = public_message(error)
            if request.is_htmx:
                return _json({"error": message}, status=reply.status)
            kept = carried_form(request) if request.origin_header == request.origin else NO_FORM
            return self._form(
                request, next_url=next_url, username=username, error=message, status=reply.status, kept=kept
            )
        await self._record(request, new.session.caller.username, AuditResult.OK, SEE_OTHER, None, new.session)
        cookie = set_cookie(new.token, secure=request.secure, lifetime=self.sessions.lifetime + FORM_GRACE)
        reply = self._welcome(request, new.session, next_url)
        return evolve(reply, headers={**reply.headers, "Set-Cookie": cookie})

    def _welcome(self, request: WebRequest, session: Session, next_url: str) -> Reply:
        """A script stays on its page, a carried form is offered to its user again, any other login leads on."""
        if request.is_htmx:
            return _session_json(session)
        kept = carried_form(request)
        if not kept.address or kept.account != str(session.caller.account_id):
            return Reply(status=SEE_OTHER, headers={"Location": next_url})
        return self.renderer.page(
            "send_again.html", self.now(), kept=kept, csrf=session.new_csrf_token(), next_url=next_url,
            username=session.caller.username,
        )  # fmt: skip

    def _form(
        self,
        request: WebRequest,
        *,
        next_url: str,
        username: str = "",
        notice: str = "",
        error: str = "",
        status: int = 200,
        kept: KeptForm = NO_FORM,
    ) -> Reply:
        host = request.origin.partition("//")[2]
        return self.renderer.page(
            "login.html", self.now(), status=status,
            next_url=next_url, username=username, notice=notice, error=error, host=host, kept=kept,
        )  # fmt: skip

    async def _record(
        self,
        request: WebRequest,
        username: str | None,
        result: AuditResult,
        status: int,
        error: str | None,
        session: Session | None = None,
    ) -> None:
        asked = AuditRequest(
            action="session.log_in",
            username=username,
            credential="" if session is None else f"session {session.id}",
            address=request.address,
            request_id=request.request_id,
        )
        await self.audit.record(asked, AuditAnswer(result=result, status=status, error=error))

    def log_out_page(self) -> Page:
        async def log_out(visit: Visit) -> Reply:
            if visit.request.cookie is not None:
                await self.sessions.log_out(visit.request.cookie)
            cookie = clear_cookie(secure=visit.request.secure)
            return Reply(status=SEE_OTHER, headers={"Location": f"{UI}login", "Set-Cookie": cookie})

        return Page(path="logout", method="POST", handle=log_out)


def _next(wanted: str) -> str:
    return own_address(wanted) or f"{UI}overview"


def _require_own_page(request: WebRequest) -> None:
    """No other site can log a browser in. Browsers that send no origin send no form of another site with cookies."""
    if request.origin_header not in {None, request.origin}:
        raise NotAllowed("The form was sent by a page of another site.")


async def _show_session(visit: Visit) -> Reply:
    """JSON for a page that is about to send a form: whose session the browser has now, and a token for it."""
    return _session_json(visit.session)


def _session_json(session: Session) -> Reply:
    return _json({"csrf": session.new_csrf_token(), "username": session.caller.username})


def _json(value: Mapping[str, str], *, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(value).encode(), content_type="application/json")


SESSION_PAGE = Page(path="session", handle=_show_session)
