"""Collects all pages and makes what serves them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from common.collected import collected
from regiond.accounts.sessions import Sessions
from regiond.api.pipeline.dispatch import Api
from regiond.ui.extension import pages_extensions
from regiond.ui.machines import console_page, screen_page
from regiond.ui.overview import components_page
from regiond.ui.rendering.page import Page
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.serving.login import SESSION_PAGE, LoginPage
from regiond.ui.serving.site import WebSite
from regiond.ui.serving.stream import Feed, stream_page
from regiond.ui.serving.web_pages import WebPages

PAGES: tuple[Page, ...] = (
    *collected("regiond.ui", "PAGES", Page),
    SESSION_PAGE,
    *[page for extension in pages_extensions() for page in extension.pages],
)


def make_pages(api: Api, *, sessions: Sessions, feed: Feed, version: str) -> WebPages:
    """Builds the pages on the API, whose services they read and whose endpoints they use for changes."""
    static, renderer = _static_parts(version)

    def now() -> datetime:
        return datetime.now(UTC)

    site = WebSite(
        api=api, sessions=sessions, renderer=renderer, static=static, now=now, position=lambda: feed.position
    )
    login_page = LoginPage(sessions=sessions, audit=api.services.audit, renderer=renderer, now=now)
    previews = components_page.PREVIEWS if api.info.simulated_hosts else ()
    sockets = (console_page.socket_page(sessions), screen_page.socket_page(sessions))
    pages = (*PAGES, *previews, stream_page(feed, sessions), *sockets)
    return WebPages(site=site, login=login_page, static=static, pages=pages)


@cache
def _static_parts(version: str) -> tuple[StaticFiles, Renderer]:
    """Files and compiled templates, which the regions of one process share."""
    static = StaticFiles.packaged()
    templates = [package for extension in pages_extensions() for package in extension.templates]
    return static, Renderer(static, version=version, templates=templates)
