"""Answers browsers: sessions, CSRF tokens, permissions, and errors as pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import structlog
from attrs import evolve, field, frozen

from common.errors import DatabaseUnavailable, InnkeeperError, NotAuthenticated, NotFound, TooManyAttempts
from regiond.accounts.sessions import Sessions
from regiond.api import errors
from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import MAX_BODY_BYTES
from regiond.api.replies import Reply, shown_reply, text_reply
from regiond.requests.caller import check_role
from regiond.ui.forms.refusal import public_message
from regiond.ui.rendering.actions import Actions
from regiond.ui.rendering.page import SEE_OTHER, Page, Visit
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.serving.error_help import help_for
from regiond.ui.serving.kept_form import kept_form, page_of, repeatable
from regiond.ui.texts import constant, text
from regiond.ui.web_request import UI, WebRequest

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNAVAILABLE = 503
_FORM_KEPT = constant("Your session has ended. What you sent is kept. Log in again.")
_FORM_LOST = constant("Your session has ended. What you sent was not saved, and has to be typed again. Log in again.")
NOT_LOGGED_IN = text_reply(constant("Log in first."), status=401)
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Cookie, Accept-Encoding, Sec-Fetch-Site",
}


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@frozen(kw_only=True)
class WebSite:
    """Serves `pages` to those who are logged in. `open_pages` need no session: login and files."""

    api: Api
    sessions: Sessions
    renderer: Renderer
    static: StaticFiles
    now: Callable[[], datetime] = field(default=_wall_clock)
    position: Callable[[], str] = str  # of the stream of changes

    async def answer(self, page: Page, path: Mapping[str, str], request: WebRequest) -> Reply:
        """Never raises: errors become pages."""
        visit = None
        try:
            visit = await self._visit(path, request)
            check_role(page.permission, visit.caller)
            reply = await page.handle(visit)
        except NotAuthenticated:
            reply = self._to_login(request)
        except InnkeeperError as error:
            reply = await self._error(visit, error, request)
        except Exception:  # the boundary, as in the API
            log.exception("page_crashed", request_id=request.request_id, path=request.path)
            reply = self._crashed(request)
        return with_headers(shown_reply(reply, None if visit is None else visit.caller))

    async def _visit(self, path: Mapping[str, str], request: WebRequest) -> Visit:
        position = self.position()
        session = await self.sessions.authenticate(request.cookie, address=request.address, uses=not request.is_live)
        self.api.limits.take(session.caller, request.address)
        self.api.open_requests.take_account(request.place, session.caller)
        if request.method == "POST":
            session.check_csrf(request.csrf_header or request.given("csrf"))
        return Visit(
            request=request,
            session=session,
            services=evolve(self.api.services, caller=session.caller),
            path=path,
            actions=Actions(self.api),
            renderer=self.renderer,
            now=self.now(),
            position=position,
        )

    async def refusal(
        self, cookie: str | None, address: str, *, body_bytes: int | None, is_part: bool = False
    ) -> Reply | None:
        """None if a session may send a form of so many bytes (None: unknown), not read yet; else the answer.

        `is_part`: the body is no form but a part of an upload, which is not parsed and waits for the disk.
        """
        try:
            session = await self.sessions.authenticate(cookie, address=address, uses=False)
            if is_part and session.caller.is_admin:
                return None
            length = MAX_BODY_BYTES if body_bytes is None else min(body_bytes, MAX_BODY_BYTES)
            self.api.limits.take_long_body(session.caller, address, length)
        except NotAuthenticated:
            return self._refused(address)
        except InnkeeperError as error:
            return errors.reply_for(error)
        except Exception:  # the boundary, as in `answer`
            log.exception("page_crashed")
            return errors.unexpected(str(structlog.contextvars.get_contextvars().get("request_id", "")))
        return None

    def _refused(self, address: str) -> Reply:
        try:
            self.api.limits.take_anonymous(address)
        except TooManyAttempts as error:
            return errors.reply_for(error)
        return NOT_LOGGED_IN

    def _to_login(self, request: WebRequest) -> Reply:
        try:
            self.api.limits.take_anonymous(request.address)
        except TooManyAttempts as error:
            return errors.reply_for(error)
        if request.method == "POST" and not request.is_htmx:
            return self._login_with_form(request)
        wanted = request.url() if request.method == "GET" else UI
        query = {"next": wanted} if wanted not in {UI, f"{UI}overview"} else {}
        if request.cookie is not None:
            query["ended"] = "1"
        location = f"{UI}login" + (f"?{urlencode(query)}" if query else "")
        if request.is_htmx or request.is_live:  # no fragment or stream; scripts ask for the password on the page
            return Reply(status=NOT_LOGGED_IN.status, headers={"HX-Redirect": location})
        return Reply(status=SEE_OTHER, headers={"Location": location})

    def _login_with_form(self, request: WebRequest) -> Reply:
        """The login page with the form that was sent, which is offered again after the login. Nothing has changed."""
        kept = kept_form(request)
        notice = _FORM_KEPT if kept.address else _FORM_LOST
        return self.renderer.page(
            "login.html", self.now(), status=NOT_LOGGED_IN.status, next_url=page_of(request) or f"{UI}overview",
            username="", notice=notice, error="",
            host=request.origin.partition("//")[2], kept=kept,
        )  # fmt: skip

    async def _error(self, visit: Visit | None, error: InnkeeperError, request: WebRequest) -> Reply:
        status = errors.reply_for(error).status
        title = _title(error)
        if visit is not None:
            try:
                return await visit.page(
                    "error.html",
                    title=title,
                    section="",
                    status=status,
                    message=error.message,
                    help=help_for(error, request.path, visit.caller),
                    request_id=request.request_id,
                )
            except InnkeeperError:  # the frame needs the database too
                pass
        if isinstance(error, DatabaseUnavailable):
            log.warning("page_not_available", request_id=request.request_id, path=request.path, reason=error.message)
        return self._bare_error(request, title, public_message(error), status)

    def _crashed(self, request: WebRequest) -> Reply:
        message = text("Something in Innkeeper went wrong. The region's log has the details under this request id.")
        return self._bare_error(request, text("Internal error"), message, 500)

    def _bare_error(self, request: WebRequest, title: str, message: str, status: int) -> Reply:
        """During an outage the page carries the form that was sent, to be sent again; a page that was read reloads."""
        is_away = status == UNAVAILABLE
        return self.renderer.page(
            "bare_error.html", self.now(), status=status, title=title, message=message, request_id=request.request_id,
            address=request.url(), retries=is_away and request.method == "GET",
            sent=repeatable(request.form) if is_away else {},
        )  # fmt: skip


def _title(error: InnkeeperError) -> str:
    if isinstance(error, DatabaseUnavailable):
        return text("Not available now")
    return text("Not found") if isinstance(error, NotFound) else text("This did not work")


def with_headers(reply: Reply) -> Reply:
    """The headers that every page has; a reply may have others of the same name."""
    return evolve(reply, headers={**HEADERS, **reply.headers})


def all_pages(*groups: Sequence[Page]) -> tuple[Page, ...]:
    return tuple(page for group in groups for page in group)
