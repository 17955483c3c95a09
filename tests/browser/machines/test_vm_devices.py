"""NICs and disks of a VM in the browser, VMs that Innkeeper no longer has, and tags of many VMs."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


async def _machine(fleet: Deployment, name: str) -> dict[str, Any]:
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == name]
    return dict(machine)


async def _edit(admin: Visitor, fleet: Deployment, tab: str, name: str) -> None:
    machine = await _machine(fleet, "web-1")
    await admin.go(f"vms/{machine['system_id']}/{tab}")
    await admin.page.get_by_role("link", name=f"Edit {name}").click()


async def test_a_nic_is_linked_and_unlinked(admin: Visitor, fleet: Deployment) -> None:
    page, nics = admin.page, admin.page.get_by_role("region", name="Network interfaces, table")
    await _edit(admin, fleet, "network", "eth0")
    await page.select_option("#mode", "STATIC")
    await page.select_option("#subnet", "10.20.10.0/24")
    await page.fill("#ip_address", "10.99.0.1")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#problems")).to_contain_text("10.99.0.1")
    assert await admin.look("nic-refused", width=320, reload=False) == []
    await page.fill("#ip_address", "10.20.10.77")
    await page.get_by_role("button", name="Save").click()
    await expect(nics).to_contain_text(re.compile(r"10\.20\.10\.77\s*static"))
    await page.get_by_role("link", name="Edit eth0").click()
    assert await page.input_value("#ip_address") == "10.20.10.77"
    await page.get_by_role("button", name="Unlink").click()
    await expect(nics).to_contain_text("unconfigured")


async def test_a_nic_is_named_and_tagged(admin: Visitor, fleet: Deployment) -> None:
    await _edit(admin, fleet, "network", "eth0")
    await admin.page.fill("#name", "front0")
    await admin.page.fill("#tags", "uplink, fast")
    await admin.page.get_by_role("button", name="Save").click()
    nics = admin.page.get_by_role("region", name="Network interfaces, table")
    await expect(nics).to_contain_text(re.compile(r"front0\s*uplink\s*fast"))
    (nic,) = (await _machine(fleet, "web-1"))["interface_set"]
    assert (nic["name"], nic["tags"], nic["links"][0]["mode"]) == ("front0", ["uplink", "fast"], "dhcp")


async def test_disks_are_tagged(admin: Visitor, fleet: Deployment) -> None:
    await _edit(admin, fleet, "storage", "root")
    assert await admin.page.input_value("#tags") == "local"
    await admin.page.fill("#tags", "ssd, boot disk!")
    admin.expected_statuses.add(422)
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#tags-error")).to_contain_text("disk!")
    await admin.page.fill("#tags", "ssd, boot")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.get_by_role("region", name="Disks, table").locator(".ik-tag")).to_have_text(["ssd", "boot"])


async def test_forgotten_and_detached_vms_are_listed(admin: Visitor, fleet: Deployment) -> None:
    web = await _machine(fleet, "web-1")
    await fleet.post(f"machines/{web['system_id']}/", op="forget")
    await fleet.post("vm-hosts/1/", op="refresh")
    await admin.go("vms")
    await admin.page.get_by_role("link", name="Detached and forgotten").click()
    row = admin.page.locator(f"#forgotten-{web['system_id']}")
    await expect(row).to_contain_text(re.compile(r"web-1.*alder", re.DOTALL))
    assert await admin.look("former", width=320) == []
    await row.get_by_role("link", name="Adopt again web-1").click()
    await expect(admin.page.get_by_role("dialog")).to_contain_text("Adopt web-1?")
    await admin.go("vms/former")
    await fleet.delete("vm-hosts/1/")
    await expect(admin.page.locator("#detached")).to_contain_text(re.compile(r"db-1.*alder", re.DOTALL))


async def test_tags_of_many_vms_are_added_and_removed(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("vms")
    for bad in ("no;tag", "gold, staging"):
        await page.get_by_label("Select all 2 VMs on this page").check()
        await page.get_by_role("button", name="Tag", exact=True).click()
        await expect(page.locator("h1")).to_have_text("Tag 2 VMs")
        await page.fill("#add", bad)
        await page.fill("#remove", "simulated")
        admin.expected_statuses.add(422)
        await page.get_by_role("button", name="Tag 2 VMs").click()
        if bad == "no;tag":
            await expect(page.locator("#add-error")).to_contain_text("no;tag")
            assert await admin.look("bulk-tags", width=320, reload=False) == []
            await page.set_viewport_size({"width": 1400, "height": 900})
            await admin.go("vms")
    await expect(page.locator("#main")).to_contain_text("2 VMs tagged.")
    for machine in await fleet.get("machines/"):
        assert sorted(machine["tag_names"]) == ["gold", "staging"]
