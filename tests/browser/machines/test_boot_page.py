"""A VM's boot order is changed in the browser: for all starts, and for one."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image


async def test_the_boot_order_is_set_from_the_configuration_tab(admin: Visitor) -> None:
    page = admin.page
    await admin.go("vms?q=web-1")
    await page.get_by_role("link", name="web-1", exact=True).click()
    await page.get_by_role("link", name="Configuration", exact=True).click()
    await expect(page.locator("#vm-boot")).to_contain_text("then")
    await page.get_by_role("link", name="Change boot order").click()
    await expect(page.locator("h1")).to_have_text("Boot order of web-1")
    assert await admin.look("boot", width=320) == []
    await page.get_by_label("Boot from").select_option("disk,network")
    await page.get_by_role("button", name="Set boot order").click()
    await expect(page.locator("#vm-boot")).to_contain_text("disk, then network")
    await page.get_by_role("link", name="Change boot order").click()
    await page.get_by_label("Boot from").select_option("network,disk")
    await page.get_by_label("Only at the next start by Innkeeper").check()
    await page.get_by_role("button", name="Set boot order").click()
    await expect(page.locator("#vm-boot")).to_contain_text("next start only: network, then disk")
    await expect(page.locator("#vm-boot-once")).to_contain_text("network, then disk")
    assert await admin.look("boot-once", width=1400) == []


async def test_an_iso_image_is_inserted_and_ejected(admin: Visitor, fleet: Deployment) -> None:
    await add_image(fleet, "custom/rescue", content=bytes(16 * 2048) + b"\x01CD001\x01" + bytes(4089), filetype="iso")
    page = admin.page
    await admin.go("vms?q=web-1")
    await page.get_by_role("link", name="web-1", exact=True).click()
    await page.get_by_role("link", name="Configuration", exact=True).click()
    await page.get_by_role("link", name="Change ISO image").click()
    await expect(page.locator("h1")).to_have_text("ISO image of web-1")
    await page.get_by_label("ISO image").select_option("custom/rescue")
    assert await admin.look("iso", width=320, reload=False) == []
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vm-iso")).to_contain_text("custom/rescue")
    await page.get_by_role("link", name="Change boot order").click()
    await page.get_by_label("Boot from").select_option("iso,disk,network")
    await page.get_by_role("button", name="Set boot order").click()
    await expect(page.locator("#vm-boot")).to_contain_text("ISO image, then disk, then network")
    await page.get_by_role("link", name="Change ISO image").click()
    await page.get_by_label("ISO image").select_option("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vm-iso")).to_contain_text("none")
