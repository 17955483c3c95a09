"""After an action the page stays; a note leads to its task, once, and follows it to its end, also without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment


@pytest.mark.first_tier
async def test_an_action_stays_on_its_page_with_a_note(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/resources")
    with fleet.held(name="alder"):
        await admin.page.get_by_role("button", name="Refresh", exact=True).click()
        note = admin.page.locator("#note")
        await expect(note).to_contain_text("Refresh alder")
        await expect(note).to_contain_text("running")
        assert admin.page.url.endswith("/hosts/1/resources")
    await expect(note).to_contain_text("succeeded")  # without a reload
    assert await admin.violations() == []
    await note.get_by_role("link", name="Task #").click()
    await expect(admin.page.locator("h1")).to_have_text("Refresh alder")


async def test_a_note_that_says_the_same_stays_under_the_pointer(admin: Visitor, fleet: Deployment) -> None:
    """A click on its link would be lost if the link were replaced while the button is held."""
    page = admin.page
    await admin.go("hosts/1/resources")
    with fleet.held(name="alder"):
        await page.get_by_role("button", name="Refresh", exact=True).click()
        await expect(page.locator("#note")).to_contain_text("running")
        link = await page.query_selector("#note-task")
        async with page.expect_response("**/note"):
            await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
        await page.wait_for_function("document.querySelector('.htmx-request') === null")
        assert link is not None
        assert await link.evaluate("link => link.isConnected")
        await link.click()
        await expect(page.locator("#task-head")).to_be_visible()


async def test_a_note_is_shown_once_and_can_be_closed(admin: Visitor) -> None:
    await admin.go("hosts/1/vms")
    await admin.page.get_by_role("button", name="Refresh", exact=True).click()
    await expect(admin.page.locator("#note")).to_contain_text("Refresh alder")
    await admin.page.reload()
    await expect(admin.page.locator("h1")).to_have_text("alder")
    await expect(admin.page.locator("#note")).to_have_count(0)
    await admin.page.get_by_role("button", name="Refresh", exact=True).click()
    await admin.page.get_by_role("link", name="Close this message").click()
    await expect(admin.page.locator("#note")).to_have_count(0)
    await expect(admin.page.locator("#main")).to_be_focused()


async def test_the_note_of_a_page_is_not_that_of_another_tab(admin: Visitor) -> None:
    other = await admin.context.new_page()
    await admin.go("hosts/1/vms")
    await other.goto(f"{admin.origin}/MAAS/ui/hosts/2/vms")
    for page, name in ((admin.page, "alder"), (other, "birch")):
        await page.get_by_role("button", name="Refresh", exact=True).click()
        await expect(page.locator("#note")).to_contain_text(f"Refresh {name}")
    await expect(admin.page.locator("#note")).not_to_contain_text("birch")


async def test_a_task_that_fails_says_so_in_its_note(admin: Visitor, fleet: Deployment) -> None:
    with fleet.simulated("birch").down():
        await admin.go("hosts/2/vms")
        await admin.page.get_by_role("button", name="Refresh", exact=True).click()
        await expect(admin.page.locator("#note")).to_contain_text("connection refused")


async def test_a_note_needs_no_script(chromium: Browser, fleet: Deployment) -> None:
    from tests.browser.support.visitor import visitor

    plain = await visitor(chromium, fleet, "mira", scripts=False)
    await plain.enter()
    await plain.go("hosts/1/vms")
    await plain.page.get_by_role("button", name="Refresh", exact=True).click()
    await expect(plain.page.locator("#note")).to_contain_text("Refresh alder")
    await plain.page.get_by_role("link", name="Close this message").click()
    await expect(plain.page.locator("#note")).to_have_count(0)

    async def is_refreshed() -> bool:
        tasks = await fleet.get("operations/?state=succeeded&host=alder")
        return any(task["kind"] == "refresh" for task in tasks)

    await eventually(is_refreshed)
    assert plain.complaints == []
    await plain.leave()
