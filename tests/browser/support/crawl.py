"""Finds pages by following the links that a visitor is shown, without drawing them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from attrs import define, field

from regiond.ui.pages import PAGES
from regiond.ui.web_request import UI

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor

MOST_OF_A_ROUTE = 3  # pages that are fetched: of a list with 200 rows, three
ROUTES = tuple(sorted({page.path for page in PAGES if page.method == "GET"}))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href")
        if tag == "a" and address and not address.startswith("#"):
            self.found.append(address)


def links_in(html: str) -> list[str]:
    parser = _Links()
    parser.feed(html)
    return parser.found


def route_of(path: str) -> str | None:
    """Returns the route of a path below `UI`; one without parameters before one with them."""
    parts = path.split("/")
    fitting = [route for route in ROUTES if _fits(route.split("/"), parts)]
    return min(fitting, key=lambda route: route.count("<"), default=None)


def _fits(route: list[str], parts: list[str]) -> bool:
    return len(route) == len(parts) and all(
        wanted == part or (wanted.startswith("<") and part) for wanted, part in zip(route, parts, strict=True)
    )


@define(kw_only=True)
class Crawl:
    """`pages` has the first address of each route that answers with a page, in the order in which they were found.

    `files` are routes that answer with something else. `dead` are links that answer with an error, and those to no
    route, each with the page that has it.
    """

    pages: dict[str, str] = field(factory=dict)
    files: set[str] = field(factory=set)
    dead: list[str] = field(factory=list)


async def crawl(visitor: Visitor, starts: Iterable[str] = ("overview",)) -> Crawl:
    """Follows links below `UI` from the start, the nearest first."""
    found = Crawl()
    waiting = deque((start, "the start") for start in starts)
    seen: set[str] = set()
    fetched: dict[str, int] = {}
    while waiting:
        address, origin = waiting.popleft()
        if address in seen:
            continue
        seen.add(address)
        route = route_of(urlsplit(address).path)
        if route is None:
            found.dead.append(f"{address} on {origin}: no route")
        if route is None or fetched.get(route, 0) >= MOST_OF_A_ROUTE:
            continue
        fetched[route] = fetched.get(route, 0) + 1
        answer = await visitor.context.request.get(f"{visitor.origin}{UI}{address}")
        if answer.status != 200:
            found.dead.append(f"{address} on {origin}: {answer.status}")
        elif not answer.headers.get("content-type", "").startswith("text/html"):
            found.files.add(route)
        else:
            here = urlsplit(answer.url).path.removeprefix(UI)
            found.pages.setdefault(route_of(here) or route, address)
            found.pages.setdefault(route, address)
            waiting.extend((link, address) for link in _below(answer.url, await answer.text()))
    return found


def _below(url: str, html: str) -> list[str]:
    """Returns the links of a page to others below `UI`, without static files and fragments of the address."""
    absolute = (urlsplit(urljoin(url, address)) for address in links_in(html))
    here = urlsplit(url).netloc
    return [
        one.path.removeprefix(UI) + (f"?{one.query}" if one.query else "")
        for one in absolute
        if one.netloc == here and one.path.startswith(UI) and one.path not in {UI, f"{UI}login"}
        if not one.path.startswith(f"{UI}static/")
    ]
