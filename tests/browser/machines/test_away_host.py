"""What pages show of VMs whose host is away, and of those that should run when it is back."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import rows
from tests.integration.support.rigs.host_restarts import back, composed, decided, lost, never_starts


async def test_a_vm_shows_that_its_host_is_away_and_then_that_it_should_run(admin: Visitor, fleet: Deployment) -> None:
    (shop,) = await composed(fleet, "shop", host="cedar")
    await never_starts(fleet, shop)
    page = admin.page
    with fleet.simulated("cedar").down():
        await lost(fleet, shop)
        await admin.go(f"vms/{shop['system_id']}")
        await expect(page.locator("#vm-away")).to_contain_text("host not reachable since")
        assert await admin.look("vm-away", width=320) == []
        assert await admin.look("vm-away", width=1400) == []
        await admin.go("vms?q=host:cedar")
        row = page.locator(f"#vm-{shop['system_id']}")
        await expect(row).to_contain_text("Running")
        await expect(row).to_contain_text("last known; host not reachable since")
        assert await admin.look("vms-away", width=1400) == []
        assert await admin.look("vms-away", width=320) == []
        rows(fleet, "update guest set power = 'off'", name="cedar")
    await back(fleet, shop)
    await decided(fleet)
    await admin.go("vms?q=host:cedar")
    await expect(row).to_contain_text("should run")
    await admin.go("attention?kind=vm_should_run")
    await expect(page.locator("main")).to_contain_text("shop should run, but is off")
    assert await admin.look("attention-should-run", width=1400) == []
    await page.locator("main").get_by_role("link", name="Start or accept").click()
    await expect(page.locator("#vm-wanted")).to_contain_text("on, as it was composed by")
    assert await admin.look("vm-should-run", width=1400) == []
    assert await admin.look("vm-should-run", width=320) == []
    await page.get_by_role("button", name="Accept that it is off").click()
    await expect(page.locator("#vm-wanted")).to_have_count(0)
    await expect(page.locator("#vm-notices")).not_to_contain_text("should run")
    await page.get_by_role("link", name="Configuration", exact=True).click()
    await expect(page.locator("#vm-should-be")).to_contain_text("as it was accepted by mira")
    assert await admin.look("vm-should-be", width=1400) == []
