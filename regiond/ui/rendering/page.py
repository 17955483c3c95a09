"""Declares pages as values, and what a page's handler gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, field, frozen

from common.errors import NotFound
from regiond.accounts.model import Session
from regiond.api.declaration.endpoint import PlanCheck, Resource
from regiond.api.replies import Reply
from regiond.api.services import Services
from regiond.operations.model import Operation
from regiond.requests.audience import text_shown_to
from regiond.requests.caller import Caller, Permission
from regiond.ui.rendering.actions import Actions
from regiond.ui.rendering.frame import read_frame
from regiond.ui.rendering.notes import Note, cleared_cookie, note_cookie, read_note, task_in
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.web_request import WebRequest, page_url

SEE_OTHER = 303


@frozen(kw_only=True)
class Visit:
    """A request of somebody who is logged in. Reads of `services` show only what the caller may see.

    `position` is that of the stream of changes before anything was read: what changes later is sent to the page.
    """

    request: WebRequest
    session: Session
    services: Services
    path: Mapping[str, str] = field(factory=dict)
    actions: Actions
    renderer: Renderer
    now: datetime
    position: str = ""

    @property
    def caller(self) -> Caller:
        return self.session.caller

    async def page(self, template: str, *, title: str, section: str, status: int = 200, **values: Any) -> Reply:
        """A whole page. `section` is the entry of the navigation that it belongs to."""
        frame, note = await read_frame(self.services, self.caller), self._note()
        shared = {
            "title": title, "section": section, "position": self.position, "frame": frame, "note": note,
            "note_task": await self.task_of(note) if note else None,
        }  # fmt: skip
        reply = self.fragment(template, status=status, **shared, csrf=self.session.new_csrf_token(), **values)
        if note is None:
            return reply
        cookie = cleared_cookie(path=self.request.path, secure=self.request.secure)
        return evolve(reply, headers={**reply.headers, "Set-Cookie": cookie})

    def _note(self) -> Note | None:
        """The note of the action before; it waits for a page that somebody opens."""
        request = self.request
        if request.method != "GET" or request.is_live or request.is_htmx:
            return None
        return read_note(request.cookies, path=request.path, key=self.session.csrf_secret)

    async def task_of(self, note: Note) -> Operation | None:
        """The task of the note, as far as it exists and may be seen."""
        try:
            return await self.services.operations.read(note.task, caller=self.caller) if note.task else None
        except NotFound:
            return None

    def fragment(self, template: str, *, status: int = 200, **values: Any) -> Reply:
        """A part of a page, without the frame and its reads; with the icons that it uses."""
        return self.renderer.page(template, self.now, status=status, request=self.request, caller=self.caller, **values)

    async def act(
        self,
        resource: Resource,
        method: str,
        op: str | None = None,
        *,
        path: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        content: bytes | None = None,
        check_plan: PlanCheck | None = None,
    ) -> Any:
        """Runs an endpoint of the API and returns its JSON; an operation is not waited for. Raises its errors.

        Values that are lists are repeated fields; None leaves a field out. `content` is a body that is no form.
        `check_plan` gets what a dry run would say, in the transaction that acts, from endpoints that support it.
        """
        return await self.actions.run(
            self.session, self.request, resource, method, op,
            path=path or {}, fields=fields or {}, idempotency_key=idempotency_key, content=content,
            check_plan=check_plan,
        )  # fmt: skip


Handler = Callable[[Visit], Awaitable[Reply]]


@frozen(kw_only=True)
class Page:
    """One address below UI. `permission` is checked before the handler; objects are checked by what it reads."""

    path: str
    handle: Handler
    method: str = "GET"
    permission: Permission = Permission.USER


def form_pages(path: str, handle: Handler, *, permission: Permission = Permission.USER) -> tuple[Page, Page]:
    """An address that shows a form and takes it."""
    return (
        Page(path=path, handle=handle, permission=permission),
        Page(path=path, handle=handle, permission=permission, method="POST"),
    )


def redirect(*segments: str | int, query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None) -> Reply:
    """The answer to a form that was accepted: the browser reads the page with GET."""
    return Reply(status=SEE_OTHER, headers={"Location": page_url(*segments, query=query)})


def redirect_with_note(
    visit: Visit,
    *segments: str | int,
    answer: Any = None,
    task: int = 0,
    text: str = "",
    link: tuple[str, str] | None = None,
    query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
) -> Reply:
    """As `redirect`, after an action: the page shows a note once, with scripts and without.

    If `answer`, the API's JSON, is an operation, or `task` is the id of one, the note says what it does, links to it
    and follows its state; or else it has `text`. `link` is a label with an address of ours.
    """
    return note_at(visit, page_url(*segments, query=query), answer=answer, task=task, text=text, link=link)


def note_at(
    visit: Visit,
    address: str,
    *,
    answer: Any = None,
    task: int = 0,
    text: str = "",
    link: tuple[str, str] | None = None,
) -> Reply:
    """As `redirect_with_note`, to an address of ours that may have a query."""
    note = Note(text=text_shown_to(visit.caller, text), task=task or task_in(answer), link=link)
    path = address.partition("?")[0]
    cookie = note_cookie(note, path=path, key=visit.session.csrf_secret, secure=visit.request.secure)
    return Reply(status=SEE_OTHER, headers={"Location": address, "Set-Cookie": cookie})
