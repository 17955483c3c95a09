"""The main tasks with the keyboard alone; the focus is always visible and never lost."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.support.fleet import PASSWORD
from tests.browser.support.keyboard import Keyboard
from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment


async def find(keys: Keyboard, name: str) -> None:
    """By the search that every page has."""
    await keys.page.wait_for_load_state()  # its scripts know the key
    await keys.press("/")
    async with keys.page.expect_response(lambda one: one.url.endswith(f"/search?q={name}")) as answered:
        await keys.page.keyboard.type(name, delay=20)
    await (await answered.value).finished()  # a busy machine also searches for the beginning of the name
    await expect(keys.page.locator("#found").get_by_role("link").first).to_contain_text(name)
    await keys.press("Tab", "Enter")
    await expect(keys.page.locator("h1")).to_have_text(name)


async def test_a_machine_lives_by_the_keyboard_alone(chromium: Browser, fleet: Deployment) -> None:
    mira = await visitor(chromium, fleet, "mira")
    page, keys = mira.page, Keyboard(mira.page)
    await mira.go("login")
    await expect(page.locator("#username")).to_be_focused()  # by itself
    await page.keyboard.type("mira")
    await keys.tab_to("Password")
    await page.keyboard.type(PASSWORD)
    await keys.press("Enter")
    await expect(page.locator("h1")).to_have_text("Overview")

    await keys.press("Tab")
    assert (await keys.focused())["name"] == "Skip to main content"
    await keys.tab_to("VMs")
    await keys.press("Enter")
    await expect(page.locator("h1")).to_have_text("VMs")
    await keys.tab_to("Compose VM")
    await keys.press("Enter")
    await expect(page.locator("h1")).to_have_text("Compose VM")
    await keys.tab_to("Name")
    await page.keyboard.type("typed-1")
    await keys.tab_to("RAM, MiB")
    await keys.write("1024")
    await expect(page.locator("#preview")).to_contain_text("birch")
    await keys.press("Enter")
    await expect(page.locator("#note")).to_contain_text("succeeded")

    await find(keys, "typed-1")
    await keys.tab_to("Start")
    await keys.press("Space")
    await expect(page.locator("#note")).to_contain_text("succeeded")
    await find(keys, "typed-1")
    await expect(page.locator("#vm-head")).to_contain_text("Running")

    await keys.tab_to("More actions on typed-1")
    await keys.press("Enter")
    await expect(page.locator("#more")).to_be_visible()
    await keys.press("Tab", "Escape")
    await expect(page.locator("#more")).to_be_hidden()
    assert (await keys.focused())["name"] == "More actions on typed-1"
    await keys.press("Enter")
    await keys.tab_to("Delete")
    await keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete typed-1?")
    await expect(dialog.get_by_label("Type typed-1")).to_be_focused()
    await page.keyboard.type("typed-1")
    await keys.tab_to("Delete VM")
    await keys.press("Enter")
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert sorted(one["hostname"] for one in await fleet.get("machines/")) == ["db-1", "web-1"]
    await mira.leave()
    assert mira.complaints == []


@pytest.mark.first_tier
async def test_a_refresh_leaves_the_focus_where_it_is(admin: Visitor, fleet: Deployment) -> None:
    page, keys = admin.page, Keyboard(admin.page)
    await admin.go("vms")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await page.get_by_role("link", name="web-1", exact=True).focus()
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(page.locator("#vms")).to_contain_text("late-1")
    assert (await keys.focused())["name"] == "web-1"


async def test_the_focus_stays_near_what_a_refresh_takes_away(admin: Visitor, fleet: Deployment) -> None:
    page, keys = admin.page, Keyboard(admin.page)
    (web,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await admin.go(f"vms/{web['system_id']}")
    await expect(page.locator("#live-state")).to_have_text("Live")
    start = page.get_by_role("button", name="Start", exact=True)
    await start.focus()
    await fleet.post(f"machines/{web['system_id']}/", op="power_on")
    await expect(start).to_have_count(0)
    assert (await keys.focused())["id"] == "vm-head"
    await keys.press("Tab")
    assert not (await keys.focused())["isBody"]


async def test_a_message_is_closed_without_losing_the_focus(admin: Visitor, fleet: Deployment) -> None:
    page, keys = admin.page, Keyboard(admin.page)
    await admin.go("zones/add")
    await page.fill("#name", "east")
    await fleet.fetch("delete from web_session returning id")
    admin.expected_statuses.add(401)
    await keys.press("Enter")
    await expect(page.locator("#login-password")).to_be_focused()
    await keys.press("Escape")
    await expect(page.locator("[role=alert]")).to_contain_text("Your session has ended")
    assert (await keys.focused())["id"] == "name"
    await keys.tab_to("Close this message")
    await keys.press("Enter")
    await expect(page.locator("[role=alert]")).to_have_count(0)
    assert (await keys.focused())["id"] == "name"
