"""Devices in the browser: registered, linked to a subnet, changed and deleted."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

MAC = "52:54:00:aa:00:01"


async def press(page: Page, name: str) -> None:
    async with page.expect_navigation():
        await page.locator("main").get_by_role("button", name=name, exact=True).click()


async def follow(page: Page, name: str) -> None:
    async with page.expect_navigation():
        await page.locator("main").get_by_role("link", name=name, exact=True).click()


async def ask(page: Page, name: str) -> Locator:
    """Follows a link that asks first, and returns the dialog of the question."""
    await page.locator("main").get_by_role("link", name=name, exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    return dialog


async def register(fleet: Deployment, hostname: str = "printer", mac: str = MAC) -> str:
    made = await fleet.post("devices/", hostname=hostname, mac_addresses=mac)
    return str(made["system_id"])


async def test_a_device_is_registered_linked_and_deleted(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("networks")
    await follow(page, "Devices")
    await follow(page, "Add device")
    await page.fill("#hostname", "printer")
    await page.fill("#mac_addresses", "52:54")
    admin.expected_statuses.add(422)
    await press(page, "Add device")
    await expect(page.locator("#mac_addresses-error")).to_contain_text("is not a MAC address")
    await page.fill("#mac_addresses", MAC)
    await press(page, "Add device")
    await expect(page.locator("h1")).to_have_text("printer")
    await follow(page, "Link eth0")
    await page.select_option("#mode", "STATIC")
    (subnet,) = [one["id"] for one in await fleet.get("subnets/") if one["cidr"] == "10.20.10.0/24"]
    await page.select_option("#subnet", str(subnet))
    await page.fill("#ip_address", "10.20.10.77")
    await press(page, "Save")
    await expect(page.locator("#nics-scroll")).to_contain_text("10.20.10.77")
    await follow(page, "Unlink eth0")
    await expect(page.locator("main")).to_contain_text("10.20.10.77 is released")
    await press(page, "Unlink NIC")
    await expect(page.locator("#nics-scroll")).not_to_contain_text("10.20.10.77")
    (device,) = await fleet.get("devices/")
    assert (device["hostname"], device["ip_addresses"]) == ("printer", [])
    dialog = await ask(page, "Delete")
    await dialog.get_by_label("Type printer to confirm").fill("printer")
    await press(page, "Delete device")
    await expect(page.locator("main")).to_contain_text("No devices")
    assert await fleet.get("devices/") == []


async def test_nics_and_owner_data_of_a_device_are_changed(admin: Visitor, fleet: Deployment) -> None:
    page, system_id = admin.page, await register(fleet)
    await admin.go(f"networks/devices/{system_id}")
    await follow(page, "Add NIC")
    await page.fill("#mac_address", "52:54:00:aa:00:02")
    await page.fill("#tags", "uplink, slow")
    await press(page, "Add NIC")
    await follow(page, "Edit eth1")
    await page.fill("#name", "lan")
    await page.fill("#tags", "uplink")
    await press(page, "Save")
    nics = {nic["name"]: nic for nic in (await fleet.get("devices/"))[0]["interface_set"]}
    assert (sorted(nics), nics["lan"]["tags"]) == (["eth0", "lan"], ["uplink"])
    await ask(page, "Delete eth0")
    await press(page, "Delete NIC")
    await expect(page.locator("#nics-scroll")).not_to_contain_text("eth0")
    await follow(page, "Edit owner data")
    await page.fill("#new-key", "rack")
    await page.fill("#new-value", "7")
    await press(page, "Save")
    await follow(page, "Edit")
    await page.fill("#description", "on the second floor")
    await press(page, "Save")
    (device,) = await fleet.get("devices/")
    assert (device["owner_data"], device["description"]) == ({"rack": "7"}, "on the second floor")


async def test_a_new_device_appears_on_the_open_list(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("networks/devices")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await register(fleet, "switch-7")
    await expect(admin.page.locator("#devices")).to_contain_text("switch-7")


async def test_the_pages_of_devices_are_accessible(admin: Visitor, fleet: Deployment) -> None:
    system_id = await register(fleet)
    (device,) = await fleet.get("devices/")
    nic = f"networks/devices/{system_id}/nics/{device['interface_set'][0]['id']}"
    await fleet.post(f"nodes/{system_id}/interfaces/eth0/", op="link_subnet", mode="AUTO", subnet="10.20.10.0/24")
    one = f"networks/devices/{system_id}"
    paths = ("networks/devices", "networks/devices/add", one, f"{one}/edit", f"{one}/delete", f"{one}/owner-data")
    nics = (f"{one}/nics/add", f"{nic}/edit", f"{nic}/link", f"{nic}/unlink", f"{nic}/delete")
    assert await admin.problems_of((*paths, *nics)) == {}
