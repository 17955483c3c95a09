"""Larger text: tables stay in their cards, only they scroll sideways, the status bar does not overlap."""

from __future__ import annotations

import pytest

from tests.browser.support.visitor import ENLARGE, SCREENSHOTS, Visitor

PAGES = (
    "overview", "hosts", "hosts/1/vms", "hosts/1/resources", "hosts/1/settings", "vms", "tasks", "tasks/1", "compose",
    "settings/audit", "settings/users", "networks", "pools",
)  # fmt: skip
_TABLES = """() => [...document.querySelectorAll(".ik-card table")].filter((table) => {
  for (let parent = table.parentElement; !parent.matches(".ik-card"); parent = parent.parentElement) {
    if (getComputedStyle(parent).overflowX !== "visible") return false;
  }
  const [inner, outer] = [table, table.closest(".ik-card")].map((element) => element.getBoundingClientRect());
  return inner.right > outer.right + 1 || inner.left < outer.left - 1;
}).map((table) => table.className)"""
_SIDEWAYS = """() => {
  const main = document.querySelector("main");
  return main.scrollWidth > main.clientWidth + 1 ? [`main is ${main.scrollWidth} px wide of ${main.clientWidth}`] : [];
}"""
_OVERLAPS = """() => {
  const bar = document.querySelector(".ik-status");
  const parts = [...bar.children].filter((part) => part.getBoundingClientRect().width);
  const boxes = [bar, ...parts].map((part) => part.getBoundingClientRect());
  const whole = boxes.shift();
  const found = parts.filter((part, at) => boxes[at].right > innerWidth + 1 || boxes[at].bottom > whole.bottom + 1);
  boxes.forEach((one, at) => boxes.slice(at + 1).forEach((other, next) => {
    const isApart = one.right <= other.left + 1 || other.right <= one.left + 1;
    if (!isApart && one.bottom > other.top + 1 && other.bottom > one.top + 1) found.push(parts[at + 1 + next]);
  }));
  return found.map((part) => part.textContent.trim());
}"""

_BROKEN_WORDS = """() => [...document.querySelectorAll(".ik-ram table th, .ik-ram table td")].flatMap((cell) => {
  const words = [];
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    for (const { 0: word, index } of text.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      if (range.getClientRects().length > 1) words.push(word);
    }
  }
  return words;
})"""


@pytest.mark.parametrize(("size", "width"), [(150, 1000), (175, 1400), (175, 320), (200, 1400), (200, 320)])
async def test_larger_text_stays_in_its_place(admin: Visitor, size: int, width: int) -> None:
    problems = {}
    await admin.page.set_viewport_size({"width": width, "height": 900})
    for path in PAGES:
        await admin.go(path)
        await admin.page.evaluate(ENLARGE, size)
        found = [text for look in (_OVERLAPS, _TABLES, _SIDEWAYS) for text in await admin.page.evaluate(look)]
        if found:
            problems[path] = found
    assert problems == {}


@pytest.mark.parametrize(("size", "width"), [(100, 320), (175, 320), (200, 320), (200, 1000), (100, 1400)])
async def test_the_ram_of_a_host_breaks_no_words(admin: Visitor, size: int, width: int) -> None:
    await admin.page.set_viewport_size({"width": width, "height": 900})
    await admin.go("hosts/1/vms")
    await admin.page.evaluate(ENLARGE, size)
    if SCREENSHOTS:
        await admin.page.locator(".ik-ram").screenshot(path=f"{SCREENSHOTS}/ram-{size}-{width}.png")
    assert await admin.page.locator(".ik-ram table").count() == 1
    assert await admin.page.evaluate(_BROKEN_WORDS) == []
    assert await admin.page.evaluate(_TABLES) == []


async def test_a_page_that_is_not_live_says_so_in_sight(admin: Visitor) -> None:
    """On a narrow screen the status bar is at the end of the page."""
    await admin.page.set_viewport_size({"width": 320, "height": 600})
    await admin.go("compose")
    await admin.page.evaluate("document.getElementById('live-state').classList.add('is-cut')")
    assert await admin.page.evaluate(
        "document.querySelector('.ik-status').getBoundingClientRect().bottom <= innerHeight"
    )
