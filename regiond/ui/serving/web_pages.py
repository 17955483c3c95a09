"""All addresses of the web pages, for the site that serves them beside the API."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from common.errors import InvalidRequest, NotFound, TooManyAttempts
from regiond.api import errors
from regiond.api.http.site_request import SiteRequest, header
from regiond.api.pipeline.request import is_content, read_query
from regiond.api.replies import Reply, text_reply
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.serving.login import LoginPage
from regiond.ui.serving.session_cookie import read_cookie
from regiond.ui.serving.site import WebSite, with_headers
from regiond.ui.texts import text
from regiond.ui.web_request import UI, WebRequest

Answer = Callable[[SiteRequest, Mapping[str, str]], Coroutine[Any, Any, Reply]]
_FORM = "application/x-www-form-urlencoded"


@frozen(kw_only=True)
class WebPages:
    """The rules of all pages and how each is answered; several methods of one address share a rule."""

    site: WebSite
    login: LoginPage
    static: StaticFiles
    pages: tuple[Page, ...]

    def answers(self) -> Iterable[tuple[str, Answer]]:
        """Pairs of a routing rule and what answers it."""
        yield f"{UI}static/<fingerprint>/<path:name>", self._open(self._file)
        yield f"{UI}login", self._open(self._login)
        for old in ("/", "/MAAS/", UI):
            yield old, self._open(self._to_overview)
        yield "/MAAS/r/kvm/<path:rest>", self._open(self._old_address)
        by_path: dict[str, dict[str, Page]] = {}
        for page in (*self.pages, self.login.log_out_page()):
            by_path.setdefault(page.path, {})[page.method] = page
        for path, methods in by_path.items():
            yield UI + path, self._page(methods)
        yield f"{UI}<path:rest>", self._page({"GET": Page(path="", handle=_no_page)})

    def serves(self, target: bytes) -> bool:
        """Whether the target of a request is an address of pages."""
        return target.startswith(UI.encode())

    async def refusal(self, request: SiteRequest, *, body_bytes: int | None) -> Reply | None:
        """Refuses a form that is too long for strangers; see `WebSite.refusal`."""
        cookie = read_cookie(header(request, "Cookie"), secure=request.sender.scheme == "https")
        is_part = is_content(header(request, "Content-Type"))
        return await self.site.refusal(cookie, request.sender.address, body_bytes=body_bytes, is_part=is_part)

    def _open(self, answer: Answer) -> Answer:
        """Returns an answer for everybody, as often as a stranger may ask."""

        async def limited(request: SiteRequest, path: Mapping[str, str]) -> Reply:
            try:
                self.site.api.limits.take_anonymous(request.sender.address)
            except TooManyAttempts as error:
                return errors.reply_for(error)
            return await answer(request, path)

        return limited

    def _page(self, methods: Mapping[str, Page]) -> Answer:
        async def answer(request: SiteRequest, path: Mapping[str, str]) -> Reply:
            asked = read_web_request(request)
            page = methods.get(asked.method)
            if page is None:
                return text_reply(
                    text("Use {methods}.", methods=", ".join(methods)),
                    status=405,
                    headers={"Allow": ", ".join(methods)},
                )
            try:
                return await self.site.answer(page, path, await self._with_form(asked, request))
            except InvalidRequest as error:
                return text_reply(error.message, status=400)

        return answer

    async def _login(self, request: SiteRequest, path: Mapping[str, str]) -> Reply:
        try:
            return with_headers(await self.login.answer(await self._with_form(read_web_request(request), request)))
        except InvalidRequest as error:
            return text_reply(error.message, status=400)

    async def _with_form(self, asked: WebRequest, request: SiteRequest) -> WebRequest:
        """Raises InvalidRequest for a form that is malformed."""
        if asked.method != "POST":
            return asked
        content = b"" if request.content is None else request.content.read()
        body = await self.site.api.bodies.read(header(request, "Content-Type") or _FORM, content)
        fields = {name: tuple(str(value) for value in values) for name, values in body.values.items()}
        if body.op is not None:
            fields["op"] = (body.op,)
        return evolve(asked, form=fields, content=body.content)

    async def _file(self, request: SiteRequest, path: Mapping[str, str]) -> Reply:
        found = self.static.reply(path["fingerprint"], path["name"], header(request, "If-None-Match"))
        return found or text_reply(text("Not Found"), status=404)

    async def _to_overview(self, request: SiteRequest, path: Mapping[str, str]) -> Reply:
        return Reply(status=302, headers={"Location": f"{UI}overview"})

    async def _old_address(self, request: SiteRequest, path: Mapping[str, str]) -> Reply:
        """Addresses of MAAS's pages for VM hosts."""
        kind, _, rest = path["rest"].strip("/").partition("/")
        number, _, tab = rest.partition("/")
        if kind in {"lxd", "virsh"} and number.isdecimal():
            place = {"resources": "resources", "edit": "settings"}.get(tab, "vms")
            return Reply(status=301, headers={"Location": f"{UI}hosts/{number}/{place}"})
        return Reply(status=301, headers={"Location": f"{UI}hosts"})


async def _no_page(visit: Visit) -> Reply:
    raise NotFound(f"There is no page at {visit.request.path}.")


def read_web_request(request: SiteRequest) -> WebRequest:
    """The request without its form."""
    method = request.method.decode("ascii", "replace")
    path, _, query = request.uri.decode("utf-8", "surrogateescape").partition("?")
    secure = request.sender.scheme == "https"
    return WebRequest(
        method="GET" if method == "HEAD" else method,
        path=path,
        query=tuple(_pairs(query)),
        cookie=read_cookie(header(request, "Cookie"), secure=secure),
        cookies=header(request, "Cookie") or "",
        csrf_header=header(request, "X-CSRF-Token"),
        origin_header=header(request, "Origin"),
        referer=header(request, "Referer") or "",
        last_event_id=header(request, "Last-Event-ID"),
        is_htmx=header(request, "HX-Request") == "true",
        is_live=header(request, "X-Live") == "true" or path == f"{UI}stream",
        secure=secure,
        origin=request.sender.origin,
        address=request.sender.address,
        user_agent=header(request, "User-Agent") or "",
        request_id=request.request_id,
        place=request.place,
    )


def _pairs(query: str) -> Iterable[tuple[str, str]]:
    try:
        return read_query(query)
    except InvalidRequest:  # an address that nobody of us made
        return ()
