"""The list of VMs is filtered by what they used for a week."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

_IDLE = """
    insert into machine_usage (machine_id, measured_since, measured_at)
    select id, now() - interval '8 days', now() from machine where hostname = 'web-1'
"""


async def test_vms_that_are_idle_for_a_week_are_found(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.fetch(_IDLE)
    for machine in await fleet.get("machines/"):
        if machine["hostname"] == "web-1":
            await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await admin.go("vms")
    await page.get_by_role("button", name="Add filter").click()
    assert await admin.look("vms-filters", width=320, reload=False) == []
    assert await admin.look("vms-filters", width=1400, reload=False) == []
    await page.get_by_label("Property").select_option("idle")
    await page.get_by_role("button", name="Filter", exact=True).click()
    await expect(page.locator("#vms")).to_contain_text("web-1")
    await expect(page.locator("#vms")).not_to_contain_text("db-1")
    await expect(page.locator("#list-tools")).to_contain_text("Idle for a week")
    assert await admin.look("vms-idle", width=1400) == []
