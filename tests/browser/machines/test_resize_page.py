"""A VM is resized in the browser: refused in numbers, then done."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


async def test_a_vm_is_resized_from_its_menu(admin: Visitor) -> None:
    page = admin.page
    await admin.go("vms?q=web-1")
    await page.get_by_role("link", name="web-1", exact=True).click()
    await page.get_by_role("button", name="More actions on web-1").click()
    await page.get_by_role("link", name="Resize", exact=True).click()
    await expect(page.locator("h1")).to_have_text("Resize web-1")
    await page.fill("#memory", "99999999")
    admin.expected_statuses.add(503)
    await page.get_by_role("button", name="Resize").click()
    await expect(page.locator("main")).to_contain_text(re.compile(r"too little left for web-1: memory: \d+ MiB more"))
    assert await admin.look("resize", width=320) == []
    await page.fill("#memory", "3072")
    await page.get_by_role("button", name="Resize").click()
    await expect(page.locator(".ik-tiles")).to_contain_text("3 GiB")
    assert await admin.look("resized", width=1400) == []


async def test_the_page_shows_what_is_pinned_where_before_and_after(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("vms?q=db-1")
    await page.get_by_role("link", name="db-1", exact=True).click()
    await admin.go(page.url.split("/MAAS/ui/")[1] + "/resize")
    await expect(page.locator("#r-now")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("4 of NUMA node 0")
    assert await admin.look("resize-bound", width=1400) == []
    await page.fill("#cores", "3")
    await page.fill("#memory", "2048")
    await page.get_by_label("RAM in huge pages").check()
    await page.get_by_role("button", name="Show what changes").click()
    await expect(page.locator("#resize-preview")).to_contain_text(
        "2 pinned cores and 2 huge pages more of alder at once"
    )
    await expect(page.locator("#r-before")).to_be_visible()
    await expect(page.locator("#r-after")).to_be_visible()
    assert await page.input_value("#cores") == "3"
    assert await admin.look("resize-preview", width=1400, reload=False) == []
    assert await admin.look("resize-preview", width=320, dark=True, reload=False) == []
    await page.get_by_role("button", name="Resize").click()
    await expect(page.locator("#placement")).to_contain_text("Huge pages")
    (found,) = [one for one in await fleet.get("virtual-machines/") if one["identifier"] == "db-1"]
    assert (len(found["pinned_cores"]), found["hugepages_backed"]) == (3, True)


async def test_a_size_that_the_host_refused_is_told_with_its_reason(admin: Visitor, fleet: Deployment) -> None:
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    path = f"machines/{machine['system_id']}/"
    await fleet.post(path, op="power_on")
    await fleet.post(path, op="resize", memory="8192")
    await fleet.fetch(
        "update machine set size_refused = 'alder: 4096 huge pages are missing.',"
        " size_refused_at = now() - interval '2 hours' where system_id = $1",
        machine["system_id"],
    )
    await admin.go(f"vms/{machine['system_id']}")
    await expect(admin.page.locator("#size-refusal")).to_contain_text("2 h ago")
    assert await admin.look("size-refused", width=1400) == []
    assert await admin.look("size-refused", width=320, dark=True) == []
    await fleet.post(path, op="resize", memory="2048")
    await fleet.post(path, op="power_off")


async def test_many_vms_are_resized_as_one_task(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("vms")
    await page.get_by_label("Select all 2 VMs on this page").check()
    await page.get_by_role("button", name="Change hardware").click()
    await page.get_by_role("button", name="Resize", exact=True).click()
    await expect(page.locator(".ik-outcome")).to_contain_text("will be resized")
    await page.get_by_label("RAM in MiB").fill("3072")
    await page.get_by_role("button", name="Show what changes").click()
    await expect(page.locator(".ik-plan")).to_contain_text("2 machines are resized.")
    assert await admin.look("bulk-resize", width=320, dark=True, reload=False) == []
    assert await admin.look("bulk-resize", width=1400, reload=False) == []
    await page.get_by_role("button", name="Resize 2 VMs").click()
    await page.click("#note-task")
    await expect(page.locator("h1")).to_have_text("Resize 2 VMs")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")
    assert {one["memory"] for one in await fleet.get("machines/")} == {3072}
