"""Servers of MAAS in the browser: one is added, edited and deleted after its name."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_bridge import maas
from tests.maas_api.bridge_server import KEY, RecordedMaas

__all__ = ["maas"]


async def looks(admin: Visitor, name: str) -> list[str]:
    """What is wrong with the page at the widths of a desktop and a phone."""
    return [problem for width in (320, 1400) for problem in await admin.look(name, width=width)]


@pytest.mark.opens("settings/maas/<id>", "settings/maas/<id>/delete")
async def test_a_server_is_added_edited_and_deleted(admin: Visitor, fleet: Deployment, maas: RecordedMaas) -> None:
    page = admin.page
    maas.starts_machines = False
    await admin.go("settings/new-maas")
    assert await looks(admin, "maas-new") == []
    await page.fill("#name", "metal")
    await page.fill("#url", maas.url)
    await page.fill("#key", KEY)
    await page.locator("main").get_by_role("button", name="Add").click()
    await expect(page.locator("#maas-metal")).to_contain_text("key of admin")
    assert await looks(admin, "maas") == []
    await page.get_by_role("link", name="Edit metal").click()
    await expect(page.locator("#url")).to_have_value(maas.url)
    assert await looks(admin, "maas-edit") == []
    await admin.go("settings/maas/metal/delete")
    assert await looks(admin, "maas-delete") == []
    await page.get_by_label("Type metal to confirm").fill("metal")
    await page.locator("main").get_by_role("button", name="Delete").click()
    await expect(page.locator("main")).to_contain_text("No MAAS servers")
    assert await fleet.get("maas-servers/") == []
