"""The documentation site and the manual pages, as `./dev docs` builds them.

Takes half a minute, and the registry of Python packages.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from development.releases.versioned_site import add
from tests.browser.support.chromium import chromium
from tests.pages.blocks import CHECKOUT
from tests.pages.fresh_machine import in_outer_network

pytestmark = [pytest.mark.lab]

BUILD_S = 900.0


@pytest.fixture(scope="module")
def built() -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
    done = subprocess.run(
        [*in_outer_network(), str(CHECKOUT / "dev"), "docs"],
        env=environment, capture_output=True, text=True, check=False, timeout=BUILD_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr  # also for a link or an anchor that leads nowhere
    return CHECKOUT / "build"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def url(built: Path) -> Iterator[str]:
    with served(built / "site") as address:
        yield address


def test_the_site_loads_nothing_from_elsewhere(built: Path) -> None:
    loaded = re.compile(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""")
    found = {path.name for path in (built / "site").rglob("*.html") if loaded.search(path.read_text("utf-8"))}
    assert found == set()


async def test_search_finds_a_page_without_the_internet(url: str) -> None:
    requested: list[str] = []
    async with chromium() as browser:
        page = await browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(f"{url}/index.html")
        await page.get_by_role("textbox", name="Search").fill("seal master key")
        first = page.locator(".md-search-result__item").first
        await expect(first).to_contain_text("Seal the master key")
        await first.get_by_role("link").first.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Seal the master key")
    assert [one for one in requested if not one.startswith((url, "blob:", "data:"))] == []


async def test_a_reader_chooses_the_release_of_the_documentation(built: Path, tmp_path: Path) -> None:
    for release in ("1.0.0", "1.1.0"):
        add(built / "site", tmp_path / "all", release)
    with served(tmp_path / "all") as address:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(address)
            await expect(page).to_have_url(f"{address}/1.1/index.html")
            await page.get_by_role("button", name="Select version").focus()  # a pointer opens it too
            await page.get_by_role("link", name="1.0.0", exact=True).click()
            await expect(page).to_have_url(re.compile(rf"{address}/1\.0/"))


def test_links_of_the_site_lead_to_its_pages_and_headings(built: Path) -> None:
    """Repeats what MkDocs checks, on the HTML: a setting could switch its check off."""
    site = built / "site"
    pages = {path.resolve(): path.read_text("utf-8") for path in site.rglob("*.html") if path.name != "404.html"}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    links = [(path, link) for path, text in pages.items() for link in re.findall(r'href="([^"]+)"', text)]
    assert len(pages) > 200
    for path, link in links:
        target, _, fragment = link.partition("#")
        if "://" in link or (fragment and not target):
            assert "://" in link or fragment in ids[path] or fragment == "__skip", (path, link)
            continue
        to = (path.parent / target).resolve() if target else path
        assert to.exists(), (path, link)
        assert not fragment or fragment in ids[to], (path, link)


@pytest.mark.parametrize("page", ["innkeeper.1", "regiond.8", "rackd.8", "regiond.toml.5", "rackd.toml.5"])
def test_a_manual_page_has_no_warnings(built: Path, page: str) -> None:
    path = built / "man" / page
    linted = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(path)], capture_output=True, text=True, check=False
    )
    assert linted.stdout == ""
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(path)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFOPT": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert "2026-01-01" in shown.stdout
