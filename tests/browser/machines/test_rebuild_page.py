"""A rebuild in a browser: what is lost is said, the name is typed, and the machine has another system."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.machines.test_release_pages import deployed, has_status
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.support.waiting import eventually


@pytest.mark.opens("vms/<system_id>/rebuild")
async def test_a_machine_gets_another_system(admin: Visitor, fleet: Deployment) -> None:
    machine, page = await deployed(fleet), admin.page
    await add_image(fleet, "debian/bookworm")
    await admin.go(f"vms/{machine['system_id']}/rebuild")
    for width in (1280, 390):
        assert await admin.look("rebuild", width=width) == []
    button = page.get_by_role("button", name="Rebuild VM")
    await page.fill("#typed", "web")
    await expect(button).to_be_disabled()
    await page.get_by_label("Image").select_option("debian/bookworm")
    await page.fill("#typed", "web-1")
    await button.click()

    async def has_the_other() -> bool:
        found = await fleet.get(f"machines/{machine['system_id']}/")
        return (found["status_name"], found["distro_series"]) == ("Deployed", "bookworm")

    await eventually(has_the_other)
    assert await has_status(fleet, machine, "Deployed")
