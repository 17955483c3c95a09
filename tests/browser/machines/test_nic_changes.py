"""The NICs of a VM in the browser: one is added, changed and removed."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.machines.test_disk_pages import looks
from tests.browser.support.visitor import Visitor


@pytest.mark.opens(
    "vms/<system_id>/network/add", "vms/<system_id>/network/<nic>/change", "vms/<system_id>/network/<nic>/remove"
)
async def test_a_nic_is_added_changed_and_removed(admin: Visitor) -> None:
    page = admin.page
    await admin.go("vms?q=web-1")
    await page.get_by_role("link", name="web-1", exact=True).click()
    await page.get_by_label("Pages of VM web-1").get_by_role("link", name="Network").click()
    await page.get_by_role("link", name="Add a NIC").click()
    assert await looks(admin, "nic-add") == []
    await page.fill("#mac_address", "53:54:00:00:00:01")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Add NIC").click()
    await expect(page.locator("main")).to_contain_text("multicast address")
    await page.fill("#mac_address", "52:54:00:00:00:01")
    await page.fill("#name", "lan1")
    await page.get_by_role("button", name="Add NIC").click()
    await expect(page.get_by_role("row").filter(has_text="lan1")).to_contain_text("52:54:00:00:00:01")
    assert await looks(admin, "nic-added") == []
    await page.get_by_role("link", name="Connect lan1 elsewhere").click()
    assert await looks(admin, "nic-change") == []
    await page.fill("#mac_address", "52:54:00:00:00")
    await page.get_by_role("button", name="Change NIC").click()
    await expect(page.locator("main")).to_contain_text("MAC address")
    await page.fill("#mac_address", "52:54:00:00:00:02")
    await page.get_by_role("button", name="Change NIC").click()
    await expect(page.get_by_role("row").filter(has_text="lan1")).to_contain_text("52:54:00:00:00:02")
    await page.get_by_role("link", name="Remove lan1").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("web-1 loses the NIC lan1")
    assert await admin.look("nic-remove", width=1400, reload=False) == []
    await dialog.get_by_role("button", name="Remove NIC").click()
    await expect(page.get_by_role("row").filter(has_text="lan1")).to_have_count(0)
