"""Login and logout, and the question of pages whether the login lasts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from common.errors import InnkeeperError, NotAllowed, NotAuthenticated
from regiond.accounts.model import Session
from regiond.accounts.sessions import Sessions
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.audit.model import AuditAnswer, AuditRequest, AuditResult
from regiond.audit.service import Audit
from regiond.ui.forms.refusal import public_message
from regiond.ui.page import SEE_OTHER, Page, Visit
from regiond.ui.renderer import Renderer
from regiond.ui.serving.session_cookie import clear_cookie, set_cookie
from regiond.ui.web_request import UI, WebRequest


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
        notice = "Your session has ended. Log in again." if request.option("ended") else ""
        return self._form(request, next_url=_inner(request.option("next")), notice=notice)

    async def _log_in(self, request: WebRequest) -> Reply:
        username, next_url = request.given("username"), _inner(request.given("next"))
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
            status = errors.reply_for(error).status
            if isinstance(error, NotAuthenticated):
                account = error.details.get("account")  # what else was typed may be a password
                await self._record(request, account, AuditResult.REJECTED, status, error.code)
            return self._form(request, next_url=next_url, username=username, error=public_message(error), status=status)
        await self._record(request, new.session.caller.username, AuditResult.OK, SEE_OTHER, None, new.session)
        cookie = set_cookie(new.token, secure=request.secure, lifetime=self.sessions.lifetime)
        return Reply(status=SEE_OTHER, headers={"Location": next_url, "Set-Cookie": cookie})

    def _form(
        self,
        request: WebRequest,
        *,
        next_url: str,
        username: str = "",
        notice: str = "",
        error: str = "",
        status: int = 200,
    ) -> Reply:
        host = request.origin.partition("//")[2]
        return self.renderer.page(
            "login.html", self.now(), status=status,
            next_url=next_url, username=username, notice=notice, error=error, host=host,
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


def _inner(wanted: str) -> str:
    """An address of ours; never one that a browser takes for another site's."""
    is_ours = wanted.startswith(UI) and wanted.isprintable() and "\\" not in wanted and "//" not in wanted
    return wanted if is_ours else f"{UI}overview"


def _require_own_page(request: WebRequest) -> None:
    """No other site can log a browser in. Browsers that send no origin send no form of another site with cookies."""
    if request.origin_header not in {None, request.origin}:
        raise NotAllowed("The form was sent by a page of another site.")


async def _show_session(visit: Visit) -> Reply:
    """JSON for a page that is about to send a form. Who is not logged in any more is led to the login."""
    body = json.dumps({"csrf": visit.session.csrf_token}).encode()
    return Reply(status=200, body=body, content_type="application/json")


SESSION_PAGE = Page(path="session", handle=_show_session)
