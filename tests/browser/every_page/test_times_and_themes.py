"""Times in the reader's zone, and the theme of the system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.support.keyboard import Keyboard
from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

KOLKATA = "Asia/Kolkata"  # 5:30 before UTC, all year


@pytest.fixture
def asha(chromium: Browser, fleet: Deployment) -> Iterator[Visitor]:
    """An administrator in another zone."""
    from tests.browser.support.visitor import visitor

    came = settle(visitor(chromium, fleet, "mira", timezone=KOLKATA))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


async def test_times_are_local_and_utc_is_shown_on_request(asha: Visitor, fleet: Deployment) -> None:
    await fleet.fetch("update machine set created_at = '2026-02-03 20:15:00+00' returning id")
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "db-1"]
    page = asha.page
    await asha.go(f"vms/{machine['system_id']}/configuration")
    created = page.locator("main time[datetime^='2026-02-03T20:15']").first
    await expect(created).to_have_text("4 Feb 01:45")
    before = await created.bounding_box()
    await created.hover()
    shown = await created.evaluate("(time) => getComputedStyle(time, '::after').content")
    assert shown == '"2026-02-03 20:15:00 UTC"'
    assert await created.bounding_box() == before
    clock = page.locator("#status-clock")
    await expect(clock).to_contain_text(re.compile(r"\d\d:\d\d:\d\d GMT\+5:30"))
    await clock.press("Enter")
    await expect(created).to_have_text("3 Feb 20:15")
    await expect(clock).to_contain_text("UTC")
    await page.reload()
    await expect(created).to_have_text("3 Feb 20:15")
    assert await asha.violations() == []


async def test_a_live_page_keeps_local_times(asha: Visitor, fleet: Deployment) -> None:
    page = asha.page
    await asha.go("vms")
    await page.evaluate("for (const row of document.querySelectorAll('#vms tbody tr')) row.seen = true")
    utc = await page.locator("#vms tbody time").first.evaluate("(time) => time.dataset.utc")
    assert utc.endswith(" UTC")
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(page.locator("#vms")).to_contain_text("late-1")
    texts = await page.locator("#vms time").evaluate_all("(all) => all.map((time) => [time.textContent, time.dataset])")
    assert texts
    assert all(data["utc"] and text != data["text"] for text, data in texts)


async def test_without_scripts_times_are_utc(chromium: Browser, fleet: Deployment) -> None:
    from tests.browser.support.visitor import visitor

    plain = await visitor(chromium, fleet, "mira", scripts=False, timezone=KOLKATA)
    await plain.enter()
    await plain.go("vms")
    await expect(plain.page.locator("#status-clock")).to_contain_text("UTC")
    await plain.leave()


async def test_the_theme_follows_the_system_until_one_is_chosen(admin: Visitor) -> None:
    page = admin.page
    is_dark = "document.documentElement.classList.contains('is-dark')"
    await page.emulate_media(color_scheme="light")
    await admin.go("overview")
    button = page.locator("[data-theme-toggle]")
    await expect(button).to_contain_text("System")
    await page.emulate_media(color_scheme="dark")
    await page.wait_for_function(is_dark)
    for name, dark in (("Light", False), ("Dark", True)):
        await button.click()
        await expect(button).to_contain_text(name)
        assert await page.evaluate(is_dark) is dark
    await page.emulate_media(color_scheme="light")
    await page.reload()
    assert await page.evaluate(is_dark) is True
    await button.click()
    await expect(button).to_contain_text("System")
    assert await page.evaluate(is_dark) is False


async def test_tab_leads_from_the_user_name_to_the_password(chromium: Browser, fleet: Deployment) -> None:
    from tests.browser.support.visitor import visitor

    stranger = await visitor(chromium, fleet, "mira")
    await stranger.page.goto(f"{stranger.origin}/MAAS/ui/login")
    await stranger.page.focus("#username")
    order = []
    for _ in range(3):
        await stranger.page.keyboard.press("Tab")
        found = await Keyboard(stranger.page).focused()
        assert found["hasRing"]
        order.append(found["name"])
    assert order == ["Password", "Show", "Log in"]
    await stranger.leave()
