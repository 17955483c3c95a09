"""What one does with a VM and a host in the browser from its start to its end."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.visitor import Visitor


async def succeeded(page: Page) -> None:
    """The task whose page opens ends well, and the page shows it without a reload."""
    await page.wait_for_url("**/tasks/*")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")


async def press(visitor: Visitor, hostname: str, button: str) -> None:
    """Opens the page of the VM and presses a button whose task ends well."""
    await open_machine(visitor, hostname)
    await visitor.page.get_by_role("button", name=button, exact=True).click()
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
    await page.locator("#name").press_sequentially(hostname)
    await page.get_by_role("button", name="Delete VM").click()
    await succeeded(page)


async def remove_host(visitor: Visitor, host_id: int, name: str) -> None:
    page = visitor.page
    await visitor.go(f"hosts/{host_id}/remove")
    await page.locator("#name").press_sequentially(name)
    await page.get_by_role("button", name="Remove host").click()
    await succeeded(page)
    await visitor.go("hosts")
    await expect(page.locator("h1")).to_have_text("Hosts")
    await expect(page.locator("main")).not_to_contain_text(name)
