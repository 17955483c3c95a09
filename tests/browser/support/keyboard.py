"""Somebody who uses only the keyboard, and sees where the focus is."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from playwright.async_api import Page

_FOCUSED = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const labels = [...(element.labels ?? [])].map((label) => label.textContent);
  return {
    isBody: element === document.body,
    name: (element.getAttribute("aria-label") ?? (labels[0] || element.textContent)).trim().replace(/\\s+/g, " "),
    id: element.id,
    hasRing: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== "none",
    isInView: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
  };
}"""
_MOST_TABS = 120


@frozen
class Keyboard:
    """Every stop on the way to an element must be visible."""

    page: Page

    async def focused(self) -> Any:
        """What has the focus: `name`, `id`, `isBody`, `hasRing`, `isInView`."""
        return await self.page.evaluate(_FOCUSED)

    async def tab_to(self, name: str) -> None:
        """Presses Tab until the element with this accessible name, or the start of it, has the focus."""
        passed = []
        for _ in range(_MOST_TABS):
            await self.page.keyboard.press("Tab")
            found = await self.focused()
            if not found["isBody"]:  # after the last element the focus is on the browser's own controls
                assert found["hasRing"], f"the focus on {found['name']!r} is not visible"
                assert found["isInView"], f"{found['name']!r} has the focus and is out of sight"
            if found["name"].startswith(name):
                return
            passed.append(found["name"][:30])
        raise AssertionError(f"Tab does not reach {name!r}; it passed {passed}")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def write(self, text: str) -> None:
        """Replaces the text of the field that has the focus."""
        await self.page.keyboard.press("Control+a")
        await self.page.keyboard.type(text)
