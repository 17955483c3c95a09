"""Somebody with a browser, which must not complain: no error on the console, no request elsewhere, no CSP violation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import axe_playwright_python
from attrs import define, field
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.browser.support.chromium import EXPECTED_WITHIN_MS
from tests.browser.support.fleet import PASSWORD

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Only violations are sent to the test: a page has ten times as many passes.
_RUN_AXE = f"axe.run(document, {{runOnly: {{type: 'tag', values: {RULES}}}}}).then((results) => results.violations)"
TEXT_SIZES = (150, 175, 200)  # per cent of the usual one
ENLARGE = "(size) => { document.documentElement.style.fontSize = size ? `${0.875 * size}%` : ''; }"
_TOO_WIDE = """(width) => {
  const found = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > width) found.push(`The page is ${wide} px wide in a window of ${width} px.`);
  const main = document.querySelector("main");
  if (main && main.scrollWidth > main.clientWidth) {
    const edge = main.getBoundingClientRect().left + main.clientWidth;
    const culprits = [...main.querySelectorAll("*")].filter((each) => each.getBoundingClientRect().right > edge + 0.5
      && !each.parentElement.closest(".ik-scroll, .ik-log, pre, svg"));
    const named = culprits.slice(-3).map((each) => `${each.tagName.toLowerCase()}.${each.getAttribute("class") ?? ""}`);
    found.push(`main scrolls sideways, ${main.scrollWidth} px in ${main.clientWidth} px: ${named.join(", ")}`);
  }
  return found;
}"""
# Where main scrolls by itself, a document that scrolls too shows nothing there.
_SCROLLS_TWICE = """() => {
  const [main, document_] = [document.querySelector(".ik-main"), document.documentElement];
  const beyond = document_.scrollHeight - innerHeight;
  const scrolls = main && getComputedStyle(main).overflowY === "auto" && beyond > 0;
  return scrolls ? [`the document scrolls by ${beyond} px`] : [];
}"""
_SEEN_THOUGH_HIDDEN = """() => [...document.querySelectorAll("[hidden]:not(.ik-bulk)")]
  .filter((each) => each.checkVisibility())
  .map((each) => `${each.tagName.toLowerCase()}#${each.id} is hidden, and is seen`)"""
# Of cards: what sticks out of one sideways, unless something in the card scrolls or hides it.
_OUT_OF_CARDS = """() => {
  const isLoose = (element, card) => {
    for (let parent = element.parentElement; parent !== card; parent = parent.parentElement) {
      if (getComputedStyle(parent).overflowX !== "visible" || parent.matches("svg, [popover]")) return false;
    }
    return !element.matches("[popover], dialog, .u-off-screen");
  };
  const found = new Set();
  for (const card of document.querySelectorAll("main .ik-card")) {
    const outer = card.getBoundingClientRect();
    for (const each of card.querySelectorAll("*")) {
      const inner = each.getBoundingClientRect();
      const beyond = Math.max(inner.right - outer.right, outer.left - inner.left);
      if (!inner.width || beyond <= 1 || !isLoose(each, card)) continue;
      const name = `${each.tagName.toLowerCase()}.${each.getAttribute("class") ?? ""}`;
      found.add(`${name} sticks out of its card by ${Math.round(beyond)} px`);
    }
  }
  return [...found].slice(0, 5);
}"""
ABANDONED = ("htmx:afterRequest", "htmx:sendAbort")  # what htmx logs of a preview whose page was left meanwhile
# Tests of hypervisors make and remove bridges of this machine meanwhile; Chromium then ends requests, and repeats them.
INTERFACES_CHANGED = "net::ERR_NETWORK_CHANGED"
LOOKS = ((1400, False), (1400, True), (320, False), (320, True))  # width, dark
SEE_OTHER = 303
OPENED: set[str] = set()  # the paths that the visitors of a test got, by which its marker `opens` is checked
EVERY_LOOK = os.environ.get("INNKEEPER_EVERY_LOOK")
SCREENSHOTS = os.environ.get("INNKEEPER_SCREENSHOTS")  # a folder to keep them in


@define(kw_only=True)
class Visitor:
    """`expected_statuses` are HTTP errors that a test provokes; the console reports them too.

    With `expects_outages` it also accepts that a server does not answer, or has no database.
    """

    context: BrowserContext
    page: Page
    origin: str
    username: str
    complaints: list[str] = field(factory=list)
    expected_statuses: set[int] = field(factory=set)
    expects_outages: bool = False

    async def go(self, path: str, *, status: int = 200) -> Response:
        """Opens a page below `/MAAS/ui/` and expects the status."""
        if status != 200:
            self.expected_statuses.add(status)
        response = await self.page.goto(f"{self.origin}/MAAS/ui/{path}")
        assert response is not None
        assert response.status == status, f"{path} answered {response.status}"
        return response

    async def enter(self) -> None:
        """Logs in without the login page: half a second less for each test. The window stays empty."""
        sent = await self.context.request.post(
            f"{self.origin}/MAAS/ui/login", form={"username": self.username, "password": PASSWORD}, max_redirects=0
        )
        assert sent.status == SEE_OTHER, f"the login answered {sent.status}"

    async def log_in(self, username: str | None = None, password: str = PASSWORD) -> None:
        await self.page.goto(f"{self.origin}/MAAS/ui/login")
        await self.page.fill("#username", username or self.username)
        await self.page.fill("#password", password)
        async with self.page.expect_navigation():
            await self.page.click("button[type=submit]")

    async def look(self, name: str, *, width: int, dark: bool = False, reload: bool = True) -> list[str]:
        """What is wrong with the page as it is now, loaded again at this width or not; keeps a picture of it."""
        await self._resize(width, dark=dark)
        if reload:
            await self.page.reload()
        return await self._examine(name, width=width, dark=dark)

    async def _resize(self, width: int, *, dark: bool) -> None:
        await self.page.set_viewport_size({"width": width, "height": 900})
        # Without motion: a colour on its way from one theme to the other has neither's contrast.
        await self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")

    async def _examine(self, name: str, *, width: int, dark: bool) -> list[str]:
        if SCREENSHOTS:
            theme = "dark" if dark else "light"
            await self.page.screenshot(path=f"{SCREENSHOTS}/{name}-{width}-{theme}.png", full_page=True)
        seen = await self.page.evaluate(_SEEN_THOUGH_HIDDEN)
        return [*seen, *await self.violations(), *await self._overflow(width)]

    async def problems_of(self, paths: Iterable[str]) -> dict[tuple[str, int], list[str]]:
        """By page and width: what is wrong. By default each page is examined once, and the other width only measured.

        Pages take turns: one in light at 1400 px, the next in dark at 320 px. With pictures or INNKEEPER_EVERY_LOOK,
        each page is examined in both themes at both widths.
        """
        problems = {}
        for position, path in enumerate(paths):
            name = path.replace("/", "-").replace("?", "-")
            turn = LOOKS[-1] if position % 2 else LOOKS[0]
            for width, dark in LOOKS if SCREENSHOTS or EVERY_LOOK else (turn,):
                await self._resize(width, dark=dark)
                await self.go(path)
                if found := await self._examine(name, width=width, dark=dark):
                    problems[path, width] = found
            other = LOOKS[0][0] if turn[0] == LOOKS[-1][0] else LOOKS[-1][0]
            await self.page.set_viewport_size({"width": other, "height": 900})
            if found := await self._overflow(other):
                problems[path, other] = found
        return problems

    async def violations(self) -> list[str]:
        """Of the accessibility rules. The script is evaluated, since the CSP refuses one that is added to the page."""
        await self.page.evaluate(AXE)
        found: list[dict[str, Any]] = await self.page.evaluate(_RUN_AXE)
        return [f"{one['id']}: {one['help']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    async def looks_of(self, path: str) -> list[str]:
        """What is wrong with a page: in light at 1400 px, with zoom and larger texts, in dark at 320 px, reloaded."""
        name = path.replace("/", "-").replace("?", "-")
        await self._resize(LOOKS[0][0], dark=False)
        await self.go(path)
        problems = await self._examine(name, width=LOOKS[0][0], dark=False)
        problems += await self._with_larger_text()
        await self.page.set_viewport_size({"width": LOOKS[0][0] // 2, "height": 450})
        problems += [f"With a zoom of 200 %: {one}" for one in await self._overflow(LOOKS[0][0] // 2)]
        return [*problems, *await self.look(name, width=LOOKS[-1][0], dark=True)]

    async def _with_larger_text(self) -> list[str]:
        """What is too wide at each width with each larger size of the text, which then is the usual one again."""
        problems = []
        for width in (LOOKS[-1][0], LOOKS[0][0]):
            await self.page.set_viewport_size({"width": width, "height": 900})
            for size in TEXT_SIZES:
                await self.page.evaluate(ENLARGE, size)
                found = await self._overflow(width)
                problems += [f"With text at {size} % in a window of {width} px: {one}" for one in found]
            await self.page.evaluate(ENLARGE, 0)
        return problems

    async def _overflow(self, width: int) -> list[str]:
        """Of the document, of `main`, which may scroll by itself, and of cards; with the elements that are too wide."""
        loose = [*await self.page.evaluate(_SCROLLS_TWICE), *await self.page.evaluate(_OUT_OF_CARDS)]
        return [*await self.page.evaluate(_TOO_WIDE, width), *loose]

    async def leave(self) -> None:
        await self.context.close()

    def on_console(self, message: ConsoleMessage) -> None:
        expected = [*ABANDONED, INTERFACES_CHANGED, *(f"status of {status}" for status in self.expected_statuses)]
        expected += ["status of 503", "Error Code 503", "net::ERR_", "htmx:"] if self.expects_outages else []
        is_expected = any(text in message.text for text in expected)
        if message.type in {"error", "warning"} and not is_expected:
            self.complaints.append(f"console: {message.text}")

    def on_request(self, request: Request) -> None:
        if request.method == "GET":
            OPENED.add(urlsplit(request.url).path)
        if not request.url.startswith((self.origin, "data:")):
            self.complaints.append(f"a request to {request.url}")


async def visitor(
    browser: Browser,
    innkeeper: Deployment,
    username: str,
    *,
    port: int | None = None,
    scripts: bool = True,
    timezone: str = "UTC",
) -> Visitor:
    """Opens a window of its own, with no cookies. `port` is that of a proxy in front of the region."""
    context = await browser.new_context(
        viewport={"width": 1400, "height": 900}, java_script_enabled=scripts, timezone_id=timezone
    )
    context.set_default_timeout(EXPECTED_WITHIN_MS)
    page = await context.new_page()
    origin = f"http://127.0.0.1:{port}" if port else innkeeper.api.url.removesuffix("/MAAS/api/2.0/")
    came = Visitor(context=context, page=page, origin=origin, username=username)
    page.on("console", lambda message: came.on_console(message))  # noqa: PLW0108  # Playwright marks methods
    page.on("request", lambda request: came.on_request(request))  # noqa: PLW0108
    page.on("pageerror", lambda error: came.complaints.append(f"script: {error}"))
    return came
