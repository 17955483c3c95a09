"""Every kind of page in a language that puts each message in brackets: what stands outside is no text."""

from __future__ import annotations

import re
from gettext import NullTranslations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

import pytest
from attrs import define, frozen

from regiond.ui import texts
from tests.browser.crawl import crawl
from tests.browser.fleet import PASSWORD, add_fleet
from tests.browser.furnished import furnish
from tests.deployment.deployment import Deployment
from tests.integration.web_client import Answer, WebClient
from tests.unit.text_search import Texts
from tests.waiting import settle

if TYPE_CHECKING:
    from tests.browser.visitor import Visitor

_INNERMOST = re.compile(r"⟦[^⟦⟧]*⟧")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_SKIPPED = {"svg", "script", "style", "code", "kbd", "pre", "title", "option"}


class Bracketed(NullTranslations):
    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


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
    """Reads pages as a visitor with a browser does, and keeps what it has read."""

    origin: str
    client: WebClient
    read: dict[str, str]

    @property
    def context(self) -> Any:
        return SimpleNamespace(request=self)

    async def get(self, url: str) -> _Page:
        for _ in range(5):
            parts = urlsplit(url)
            answer = await self.client.get(parts.path + (f"?{parts.query}" if parts.query else ""))
            if answer.status // 100 != 3:
                break
            url = urljoin(url, answer.headers["Location"])
        if answer.headers["Content-Type"].startswith("text/html"):
            self.read[url.removeprefix(self.origin)] = answer.text
        return _Page(url, answer)

    async def post(self, url: str, form: dict[str, str], max_redirects: int) -> _Page:
        assert max_redirects == 0
        return _Page(url, await self.client.post(urlsplit(url).path, **form))


def outside(page: str) -> list[str]:
    """Returns the parts of texts that are in no message."""
    found = []
    for text in Texts(page, _SKIPPED).found:
        while _INNERMOST.search(text):
            text = _INNERMOST.sub(" ", text)
        found += [text.strip()] if _LETTERS.search(text) else []
    return found


async def test_explore(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_fleet(innkeeper)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    reader = Reader(innkeeper.region.api_url.rstrip("/").removesuffix("/MAAS"), client, {})
    await furnish(cast("Visitor", reader), innkeeper)
    monkeypatch.setattr(texts, "_ENGLISH", Bracketed())
    found = await crawl(cast("Visitor", reader))
    print(len(found.pages), found.dead)
    seen = {}
    for url, page in reader.read.items():
        for text in outside(page):
            seen.setdefault(text, url)
    with open("/tmp/t2/outside.txt", "w") as f:
        for text, url in seen.items():
            f.write(f"{url[:60]}\t{text[:150]}\n")
