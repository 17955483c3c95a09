"""The screen of a VM in a browser: noVNC in a page with our content security policy."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from rackd.drivers.simulated.screens.screen import KEYS_FROM, WIDTH, colour_of
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

PIXEL = """
    ([x, y]) => {
        const copy = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(document.querySelector('#screen canvas'), x, y, 1, 1, 0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    }
"""
FITS = """
    canvas => {
        const pane = canvas.closest('#screen');
        return canvas.clientWidth <= pane.clientWidth && canvas.clientHeight <= pane.clientHeight;
    }
"""
CONNECTED = "Connected. Ctrl-] gives the keyboard back to the page."


async def screen(admin: Visitor, fleet: Deployment, name: str) -> None:
    """Opens the page of a VM's screen."""
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == name]
    if machine["power_state"] != "on":
        await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await admin.go(f"vms/{machine['system_id']}/screen")
    await expect(admin.page).to_have_title(f"{name} – Screen – Innkeeper")


async def connect(page: Page) -> None:
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#screen-state")).to_have_text(CONNECTED)


async def shows(page: Page, number: int, symbol: int) -> None:
    """Waits until the cell of a key has its colour."""

    async def has_colour() -> bool:
        red, green, blue, _ = await page.evaluate(PIXEL, [number * 16 + 8, KEYS_FROM + 8])
        return bytes((red, green, blue)) == colour_of(symbol)

    await eventually(has_colour)


@pytest.mark.first_tier
async def test_the_screen_is_shown_and_takes_keys(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await screen(admin, fleet, "web-1")
    assert await admin.look("screen", width=320) == []
    await connect(page)
    canvas = page.locator("#screen canvas")
    await expect(canvas).to_have_js_property("width", WIDTH)
    await page.keyboard.press("a")
    await shows(page, 0, ord("a"))
    await page.locator("#screen-combination").select_option("Control+Alt+Delete")
    await page.get_by_role("button", name="Press").click()
    for number, symbol in enumerate((0xFFE3, 0xFFE9, 0xFFFF), start=1):
        await shows(page, number, symbol)
    await page.get_by_text("Text and clipboard").click()
    await page.locator("#screen-clipboard").fill("B1")
    await page.get_by_role("button", name="Type it in the VM").click()
    for number, symbol in enumerate((0xFFE1, ord("b"), ord("1")), start=4):
        await shows(page, number, symbol)
    assert await admin.look("screen-open", width=1400, reload=False) == []
    assert await admin.look("screen-open", width=320, dark=True, reload=False) == []
    await canvas.focus()
    await page.keyboard.press("Control+]")
    await expect(page.locator("#screen-connect")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#screen-state")).to_have_text("You closed the screen.")
    await expect(page.locator("#screen")).to_be_hidden()


async def test_the_screen_fits_its_pane_and_the_whole_display(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await page.set_viewport_size({"width": 1400, "height": 900})
    await screen(admin, fleet, "web-1")
    await connect(page)
    canvas = page.locator("#screen canvas")
    await expect(canvas).to_have_js_property("width", WIDTH)
    for width in (1400, 320):
        await page.set_viewport_size({"width": width, "height": 900})
        await eventually(lambda: canvas.evaluate(FITS))
    await page.get_by_role("button", name="Full screen").click()
    await eventually(lambda: page.evaluate("document.fullscreenElement?.id === 'screen-pane'"))
    await eventually(lambda: canvas.evaluate(FITS))


async def test_a_vm_that_is_off_says_why_there_is_no_screen(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await screen(admin, fleet, "web-1")
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await fleet.post(f"machines/{machine['system_id']}/", op="power_off", stop_mode="hard")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#screen-state")).to_contain_text("is off: it has a screen once it is started.")


async def test_the_screen_says_that_the_vm_has_ended_it(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await screen(admin, fleet, "web-1")
    await connect(page)
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await fleet.post(f"machines/{machine['system_id']}/", op="power_off", stop_mode="hard")
    await expect(page.locator("#screen-state")).to_have_text("The virtual machine has ended the screen.")
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
