"""What one does with a VM and a host in the browser from its start to its end."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.support.visitor import Visitor


async def succeeded(page: Page) -> None:
    """The task whose page opens, or to which the note leads, ends well, and its page shows it without a reload."""
    await page.locator("#note-task, #task-head").first.wait_for()
    if await page.locator("#note-task").count():
        await page.click("#note-task")
    await page.wait_for_url("**/tasks/*")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")


async def press(visitor: Visitor, hostname: str, button: str) -> None:
    """Opens the page of the VM and does what the button says, after its question if it asks; the task ends well."""
    await open_machine(visitor, hostname)
    if button == "Power off":
        await visitor.page.get_by_role("button", name=f"More actions on {hostname}").click()
    await visitor.page.locator("#vm-head").get_by_text(button, exact=True).click()
    if button in {"Stop", "Restart", "Power off"}:
        dialog = visitor.page.get_by_role("dialog")
        if button == "Power off":
            await dialog.locator("#typed").fill(hostname)
        await dialog.get_by_role("button", name=f"{button} VM").click()
    await succeeded(visitor.page)


async def open_machine(visitor: Visitor, hostname: str) -> None:
    await visitor.go(f"vms?q={hostname}")
    await visitor.page.get_by_role("link", name=hostname, exact=True).click()
    await expect(visitor.page.locator("h1")).to_have_text(hostname)


async def delete_machine(visitor: Visitor, hostname: str) -> None:
    """By its typed name."""
    page = visitor.page
    await open_machine(visitor, hostname)
    await page.get_by_role("button", name=f"More actions on {hostname}").click()
    await page.get_by_role("link", name="Delete", exact=True).click()
    await page.locator("#typed").press_sequentially(hostname)
    await page.get_by_role("button", name="Delete VM").click()
    await succeeded(page)


async def remove_host(visitor: Visitor, host_id: int, name: str) -> None:
    page = visitor.page
    await visitor.go(f"hosts/{host_id}/remove")
    await page.locator("#typed").press_sequentially(name)
    await page.get_by_role("button", name="Remove host").click()
    await succeeded(page)
    await visitor.go("hosts")
    await expect(page.locator("h1")).to_have_text("Hosts")
    await expect(page.locator("main")).not_to_contain_text(name)
