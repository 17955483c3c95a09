"""The console of a VM in a browser: the log, and a terminal to a simulated VM."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


async def _console(admin: Visitor, fleet: Deployment, name: str) -> str:
    """Opens the console page of a running VM, and returns its address below the UI."""
    machines = await fleet.get("machines/")
    (machine,) = [one for one in machines if one["hostname"] == name]
    if machine["power_state"] != "on":
        await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    path = f"vms/{machine['system_id']}"
    await admin.go(path)
    await admin.page.locator("#act-console").click()
    await expect(admin.page).to_have_title(f"{name} – Console – Innkeeper")
    return f"{path}/console"


@pytest.mark.first_tier
async def test_what_is_typed_in_the_terminal_is_echoed(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await _console(admin, fleet, "web-1")
    await expect(page.locator("#console-log")).to_contain_text("No bootable device.")
    assert await admin.look("console", width=320) == []
    await page.get_by_role("button", name="Connect").click()
    screen = page.locator("#terminal .xterm-rows")
    await expect(screen).to_contain_text("web-1$")
    await expect(page.locator("#terminal-state")).to_contain_text("Connected")
    await page.keyboard.type("hello, world")
    await page.keyboard.press("Enter")
    await expect(screen).to_contain_text("hello, worldhello, world")
    assert await admin.look("console-open", width=1400, reload=False) == []
    assert await admin.look("console-open", width=320, dark=True, reload=False) == []
    await page.locator("#terminal textarea").focus()
    await page.keyboard.press("Control+]")
    await expect(page.locator("#terminal-connect")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#terminal-state")).to_have_text("You closed the console.")


async def test_the_terminal_fits_its_pane_and_follows_it(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await page.set_viewport_size({"width": 1400, "height": 900})
    await _console(admin, fleet, "web-1")
    await page.get_by_role("button", name="Connect").click()
    screen = page.locator("#terminal .xterm-screen")
    await expect(page.locator("#terminal .xterm-rows")).to_contain_text("web-1$")
    gap = "([pane, screen]) => pane.clientWidth - screen.clientWidth"
    pair = page.locator("#terminal, #terminal .xterm-screen")
    wide = await pair.evaluate_all(gap)
    assert 0 <= wide < 40, "the screen is about as wide as its pane"
    button = page.locator("#terminal-size")
    before = await button.inner_text()
    await page.set_viewport_size({"width": 700, "height": 700})
    await expect(button).not_to_have_text(before)
    assert 0 <= await pair.evaluate_all(gap) < 40
    assert await screen.evaluate("screen => screen.clientHeight <= screen.closest('#terminal').clientHeight")
    await button.click()
    columns, rows = re.findall(r"\d+", await button.inner_text())
    await expect(page.locator("#terminal .xterm-rows")).to_contain_text(f"stty columns {columns} rows {rows}")
    assert await admin.look("console-fits", width=320, dark=True, reload=False) == []


async def test_the_end_of_a_console_is_said_and_it_opens_again(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await _console(admin, fleet, "web-1")
    for _ in range(2):
        await page.get_by_role("button", name="Connect").click()
        await expect(page.locator("#terminal-state")).to_contain_text("Connected.")
        await expect(page.locator("#terminal .xterm-rows")).to_contain_text("web-1$")
        await page.keyboard.type("exit")
        await page.keyboard.press("Enter")
        await expect(page.locator("#terminal-state")).to_have_text("The virtual machine has ended the console.")
