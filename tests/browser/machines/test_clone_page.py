"""A clone in a browser: what it will have is said, and the page of the new machine opens."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.machines.test_release_pages import deployed
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually


async def test_a_machine_is_cloned(admin: Visitor, fleet: Deployment) -> None:
    machine, page = await deployed(fleet), admin.page
    address = f"vms/{machine['system_id']}/clone"
    await admin.go(address)
    await expect(page.get_by_text("Shut it down first")).to_be_visible()
    assert await admin.look("clone-refused", width=1280) == []
    await fleet.post(f"machines/{machine['system_id']}/", op="power_off")
    await admin.go(f"vms/{machine['system_id']}")
    await page.get_by_role("button", name="More actions").click()
    await page.click("#act-clone")
    for width in (1280, 390):
        assert await admin.look("clone", width=width) == []
    await page.get_by_label("Name").fill("web-copy")
    await page.get_by_label("Cores").fill("2")
    await page.get_by_role("button", name="Clone VM").click()
    await expect(page.get_by_role("heading", name="web-copy")).to_be_visible()

    async def is_deployed() -> bool:
        (found,) = await fleet.get("machines/?hostname=web-copy")
        return (found["status_name"], found["cpu_count"], found["power_state"]) == ("Deployed", 2, "off")

    await eventually(is_deployed)
    assert await admin.look("clone-made", width=1280) == []
