"""A browser's request as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode

from attrs import evolve, field, frozen

from regiond.requests.request_limits import Place

UI = "/MAAS/ui/"


@frozen(kw_only=True)
class WebRequest:
    """`path` has no query. `form` has the values of each field of a POST, in their order; `content` is another body."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    form: Mapping[str, Sequence[str]] = field(factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    cookie: str | None = field(default=None, repr=False)  # the session's
    cookies: str = field(default="", repr=False)  # the header, with all
    csrf_header: str | None = field(default=None, repr=False)
    origin_header: str | None = None
    referer: str = ""
    last_event_id: str | None = None
    is_htmx: bool = False
    is_live: bool = False  # of a page that refreshes itself, not of its user
    secure: bool = False
    origin: str = "http://localhost"
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    place: Place = field(factory=Place, eq=False, repr=False)  # where it is counted

    def option(self, name: str, default: str = "") -> str:
        """The last value of a parameter of the query."""
        return dict(self.query).get(name, default)

    def options(self, name: str) -> tuple[str, ...]:
        """All values of a parameter of the query, without empty ones."""
        return tuple(value for key, value in self.query if key == name and value)

    def given(self, name: str, default: str = "") -> str:
        """The last value of a field of the form."""
        values = self.form.get(name)
        return values[-1] if values else default

    def url(self, **changes: str | None) -> str:
        """The address of this page with other parameters; None removes one, and so does an empty text."""
        kept = [(name, value) for name, value in self.query if name not in changes and value]
        added = [(name, value) for name, value in changes.items() if value]
        return self.path + (f"?{urlencode([*kept, *added])}" if kept or added else "")


def page_url(*segments: str | int, query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None) -> str:
    """The address of a page: `page_url("hosts", 3, "vms")`. Segments are names or ids without slashes."""
    path = UI + "/".join(quote(str(segment), safe="") for segment in segments)
    return path + (f"?{urlencode(query)}" if query else "")


def with_query(request: WebRequest, query: str) -> WebRequest:
    """Returns the request with the query that a form sent, such as that of the list in which it is."""
    return evolve(request, query=tuple(parse_qsl(query, max_num_fields=100)))


def own_address(wanted: str) -> str:
    """`wanted` if it is the address of a page of ours; empty for one that a browser takes for another site's."""
    is_ours = wanted.startswith(UI) and wanted.isprintable() and "\\" not in wanted and "//" not in wanted
    return wanted if is_ours else ""
