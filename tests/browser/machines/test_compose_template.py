"""A VM is composed from a template in a browser: the form has its hardware, and what was changed there counts."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.machines.test_compose_page import COMPOSE
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually


async def template_on(fleet: Deployment, host: str) -> None:
    await fleet.compose(
        fleet.hosts[host], hostname="golden", cores=2, memory=3072, storage="root:12,data:5", power_on="false"
    )


async def test_a_vm_is_composed_from_a_template(admin: Visitor, fleet: Deployment) -> None:
    await template_on(fleet, "alder")
    await admin.go("compose?host=birch")
    page = admin.page
    await expect(page.locator("#template option")).to_have_count(1)
    await admin.go("compose")
    await page.fill("#hostname", "like-golden")
    await page.select_option("#template", "golden")
    await expect(page.locator("#cores")).to_have_value("2")
    await expect(page.locator("#memory")).to_have_value("3072")
    await expect(page.locator("#host")).to_have_value("alder")
    await expect(page.locator("#hostname")).to_have_value("like-golden")
    await expect(page.locator("#disk0-size")).to_have_value("12")
    await expect(page.locator("#disk1-size")).to_have_value("5")
    await expect(page.get_by_text("interfaces like those of its template")).to_be_visible()
    await expect(page.locator("#preview")).to_contain_text("chosen")
    for width in (1280, 390):
        assert await admin.look("compose-template", width=width, reload=False) == []
    await page.fill("#disk1-size", "4")
    await expect(page.locator("#preview")).to_contain_text("A copy is not smaller")
    await page.fill("#disk1-size", "7")
    await page.fill("#cores", "1")
    await expect(page.locator("#preview")).to_contain_text("chosen")
    await page.locator(COMPOSE).click()
    await expect(page.locator("h1")).to_have_text("like-golden")

    async def is_made() -> bool:
        found = await fleet.get("machines/?hostname=like-golden")
        return [
            (one["cpu_count"], one["memory"], [disk["size"] for disk in one["blockdevice_set"]])
            for one in found
            if one["status_name"] == "Allocated"
        ] == [(1, 3072, [12 * 10**9, 7 * 10**9])]

    await eventually(is_made)


async def test_no_template_gives_back_one_empty_disk(admin: Visitor, fleet: Deployment) -> None:
    await template_on(fleet, "alder")
    await admin.go("compose")
    await admin.page.select_option("#template", "golden")
    await expect(admin.page.locator("#disk1-size")).to_be_visible()
    await admin.page.select_option("#template", "")
    await expect(admin.page.locator("#disk1-size")).to_have_count(0)
    await expect(admin.page.get_by_text("one interface on the default network")).to_be_visible()
