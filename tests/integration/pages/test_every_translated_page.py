"""Every page to which links lead, in a pseudo-language: outside its brackets are names, and messages of the API."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

import pytest
from attrs import define, field, frozen

from tests.browser.support.crawl import crawl, route_of
from tests.browser.support.fleet import PASSWORD, add_fleet
from tests.browser.support.furnished import LONG, furnish
from tests.deployment.deployment import Deployment
from tests.integration.pages.test_translated_pages import DATA, english_in
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import settle
from tests.unit.support.pseudo_language import Pseudo

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor

UI = "/MAAS/ui/"
# Pages with other texts than those to which links lead: lists in which nothing is found.
STARTS = (
    "overview", "account/filters/add", "hosts?q=nothing-like-this", "vms?q=nothing-like-this", "vms?q=nokey:1",
    "search?q=web", "search?q=nothing-like-this", "settings/tags?q=nothing", "settings/users?q=nothing",
    "networks/devices?q=nothing", "tasks?q=nothing", "attention?q=nothing", "settings/roles?user=mira",
    "settings/discrepancies?kind=wrong_total", "hosts/add?type=virsh", "tasks?since=never",
)  # fmt: skip
# They show records of the API, of tasks and of a name server, whose words are English: decision 57.
RECORDS = {
    "events", "hosts/<host>/events", "vms/<system_id>/events", "settings/audit", "settings/audit/redact",
    "vms/<system_id>/console", "networks/dns/<id>/zone", "settings/maas-imports/<import>",
}  # fmt: skip
# Effects that a dry run of the API tells; the same decision.
EFFECTS = (
    "Missing on the host; their records stay:",
    "loses the disk",
    "GB in local) is kept with its content",
    "GB in local) and all data on it are deleted.",
    "This deletes the disk of",
    "Kept disks stay on the host as volumes",
    "disks of",
    "is not changed. It stays off until that is done",
    "The file has all data of",
)


@frozen
class _Page:
    url: str
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.answer.headers.items()}

    async def text(self) -> str:
        return self.answer.text


@define
class Reader:
    """Follows redirects as a visitor with a browser, and keeps the pages that it reads, by their address."""

    origin: str
    client: WebClient
    pages: dict[str, str] = field(factory=dict)

    @property
    def context(self) -> Any:
        return SimpleNamespace(request=self)

    async def get(self, url: str) -> _Page:
        answer = await self.client.get(_path(url))
        while answer.status // 100 == 3:
            url = urljoin(url, answer.headers["Location"])
            answer = await self.client.get(_path(url))
        if answer.headers["Content-Type"].startswith("text/html"):
            self.pages[_path(url).removeprefix(UI)] = answer.text
        return _Page(url, answer)

    async def post(self, url: str, form: dict[str, str], max_redirects: int) -> _Page:
        assert max_redirects == 0
        return _Page(url, await self.client.post(_path(url), None, **form))


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@pytest.fixture
def reader(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> Reader:
    settle(add_fleet(innkeeper))
    found = Reader(
        innkeeper.region.api_url.partition("/MAAS")[0], WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    )
    settle(found.client.log_in("mira", PASSWORD))
    settle(furnish(cast("Visitor", found), innkeeper))
    found.pages.clear()
    monkeypatch.setattr("regiond.ui.texts._ENGLISH", Pseudo())
    return found


@pytest.mark.slow
async def test_no_page_has_a_word_outside_the_catalogue(reader: Reader) -> None:
    reached = await crawl(cast("Visitor", reader), STARTS)
    assert len(reached.pages) > 100
    ids = {one for page in reader.pages.values() for one in _SYSTEM_ID.findall(page)}
    english = {
        text: address
        for address, page in reader.pages.items()
        if route_of(urlsplit(address).path) not in RECORDS
        for text in english_of(page)
        if text not in ids and not text.startswith(EFFECTS)
    }
    assert not english, "\n".join(f"{address}: {text}" for text, address in english.items())


@pytest.mark.slow
async def test_an_empty_form_is_answered_without_an_error(reader: Reader) -> None:
    """Each form is sent once with nothing filled in; some of them act."""
    await crawl(cast("Visitor", reader))
    forms = {one.kind: one for address, page in reader.pages.items() for one in forms_of(f"{UI}{address}", page)}
    assert len(forms) > 60
    answers = {
        form.action: (await reader.client.post(form.action, None, **form.hidden)).status for form in forms.values()
    }
    assert {action: status for action, status in answers.items() if status >= 500} == {}


@frozen
class Form:
    """`hidden` are its fields: those that nobody fills in with their values, and its first button."""

    action: str
    hidden: dict[str, str]

    @property
    def kind(self) -> tuple[str | None, frozenset[str]]:
        """Equal for forms of a route with the same fields."""
        return route_of(urlsplit(self.action).path.removeprefix(UI)), frozenset(self.hidden)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._is_within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, kind = given.get("name", ""), given.get("type")
        if tag == "form":
            self._is_within = given.get("method") == "post"
            self.found += [(given.get("action", ""), {})] if self._is_within else []
        elif not self._is_within or name in {"", "confirmed"} or kind in {"checkbox", "radio"}:
            return
        elif tag in {"input", "textarea"}:
            self.found[-1][1][name] = given.get("value", "") if kind == "hidden" else ""
        elif tag == "button":
            self.found[-1][1].setdefault(name, given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_within = self._is_within and tag != "form"


def forms_of(address: str, page: str) -> list[Form]:
    parser = _Forms()
    parser.feed(page)
    found = (Form(urljoin(address, action), hidden) for action, hidden in parser.found)
    return [form for form in found if not _LEAVES.search(form.action)]


_LEAVES = re.compile(r"/(logout|password|end)\b|/users/mira")  # forms that end the session of the test
_SYSTEM_ID = re.compile(r"(?:vms|networks/devices)/(\w{6})\b")
# Values: all that has a digit, a slash or the like in it, or a dot or colon between letters.
_VALUES = re.compile(r"\S*[\d/@_=]\S*|\w+[.:]\w\S*")
# The names of what this test adds, kinds of hardware and of networks, names of states, and products.
_NAMES = re.compile(
    r"\b(alder|birch|cedar|web|late|admin|ann|east|staging|lab|rack|default|Default pool|has local flash"
    r"|metal|nothing-like-this|fabric|untagged|storage|local|root|maas|pod-console-logging|viewer|operator|dynamic"
    r"|reserved|vm|sim|dir|bridge|physical|macvlan|passthru|private|vepa|DNS|VLAN|NIC|CIDR|SHA|AAAA|DHCP|MAC|htmx|HMAC|PLAINTEXT|armhf"
    r"|Tab|Esc|CSV|JSON|[kGM]i?B|min|ms|Innkeeper Simulated Ethernet|Innkeeper)\b"
)
_KEYS = re.compile(r"^(?:(?:Ctrl|Alt)\+)*(?:Delete|Backspace|Tab|Escape|PrintScreen|F\d+)$")  # as the keyboard has them
# Messages of the API: plans, reasons, events, what disagrees, and the logs of tasks.
_ANSWERS = re.compile(
    r'<div class="ik-plan">.*?</div>|<p class="p-notification__message">.*?</p>|<div class="ik-log__line.*?</div>',
    re.DOTALL,
)
_MESSAGES = re.compile(
    r" was (created|added|set|composed|allocated|adopted|exported|read)\b|added the SSH key|missing on birch"
    r"|reported no such guest|^a guest$|can be changed while it is|excluded by your host filter|^There is no field"
    r"|is not a time"
)


def english_of(page: str) -> list[str]:
    found = (text for text in english_in(_ANSWERS.sub(" ", page)) if not _MESSAGES.search(text))
    texts = (_KEYS.sub("", text.strip()).replace(LONG[:30], "") for text in found)
    plain = (_VALUES.sub(" ", text) for text in texts)
    return [text.strip() for text in plain if re.search("[A-Za-z]{2}", DATA.sub(" ", _NAMES.sub(" ", text)))]
