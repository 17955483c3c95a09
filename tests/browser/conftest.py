"""Chromium, and a page of it that is logged in to a region with two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment


@pytest.hookimpl(tryfirst=True)  # before `-m` reads the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def opened_routes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that does not open the routes of its marker `opens`."""
    from regiond.ui.web_request import UI
    from tests.browser.support.crawl import route_of
    from tests.browser.support.visitor import OPENED

    OPENED.clear()
    yield
    routes = {route for marker in request.node.iter_markers("opens") for route in marker.args}
    assert routes - {route_of(path.removeprefix(UI)) for path in OPENED} == set(), "the test does not open these"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from tests.browser.support import chromium as browsers

    running = browsers.chromium()
    yield settle(running.__aenter__())
    settle(running.__aexit__(None, None, None))


@pytest.fixture
def fleet(innkeeper: Deployment) -> Deployment:
    """`alder` has two NUMA nodes, huge pages and virtual functions, and two machines; `birch` is small."""
    from tests.browser.support.fleet import add_fleet

    settle(add_fleet(innkeeper))
    return innkeeper


@pytest.fixture
def admin(chromium: Browser, fleet: Deployment) -> Iterator[Visitor]:
    """An administrator who is logged in. At the end of the test its browser must have nothing to complain about."""
    yield from _administrator(chromium, fleet, scripts=True)


@pytest.fixture
def plain(chromium: Browser, fleet: Deployment) -> Iterator[Visitor]:
    """An administrator whose browser runs no script."""
    yield from _administrator(chromium, fleet, scripts=False)


def _administrator(chromium: Browser, fleet: Deployment, *, scripts: bool) -> Iterator[Visitor]:
    from tests.browser.support.visitor import visitor

    came = settle(visitor(chromium, fleet, "mira", scripts=scripts))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []
