"""The disks of a VM in the browser: one is added, grown, removed and kept, attached again, and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


async def open_storage(admin: Visitor, name: str) -> None:
    await admin.go(f"vms?q={name}")
    await admin.page.get_by_role("link", name=name, exact=True).click()
    await admin.page.get_by_label(f"Pages of VM {name}").get_by_role("link", name="Storage").click()


async def machine_of(fleet: Deployment, name: str = "web-1") -> Any:
    return next(one for one in await fleet.get("machines/") if one["hostname"] == name)


async def looks(admin: Visitor, name: str) -> list[str]:
    """What is wrong with the page at the widths of a desktop and a phone."""
    return [problem for width in (320, 1400) for problem in await admin.look(name, width=width)]


async def add_disk(admin: Visitor) -> None:
    page = admin.page
    await page.get_by_role("link", name="Add a disk").click()
    await page.fill("#size", "90000")
    admin.expected_statuses.add(503)
    await page.get_by_role("button", name="Add disk").click()
    await expect(page.locator("main")).to_contain_text("cannot give web-1 the disk")
    assert await admin.violations() == []
    await page.fill("#size", "20")
    await page.select_option("#pool", "nvme")
    await page.fill("#tags", "fast")
    await page.get_by_role("button", name="Add disk").click()
    await expect(page.get_by_role("row").filter(has_text="disk1")).to_contain_text("20 GB")


@pytest.mark.opens("vms/<system_id>/storage/add", "vms/<system_id>/storage/<disk>/grow")
async def test_a_disk_of_a_running_vm_is_added_and_grown(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    machine = await machine_of(fleet)
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await open_storage(admin, "web-1")
    await page.get_by_role("link", name="Add a disk").click()
    assert await looks(admin, "disk-add") == []
    await page.get_by_role("link", name="Cancel").click()
    await add_disk(admin)
    await page.get_by_role("link", name="Grow disk1").click()
    await expect(page.locator("h1")).to_have_text("Grow disk1 of web-1")
    assert await looks(admin, "disk-grow") == []
    await page.fill("#size", "30")
    await page.get_by_role("button", name="Grow disk").click()
    await expect(page.get_by_role("row").filter(has_text="disk1")).to_contain_text("30 GB at the next start")
    assert await looks(admin, "disk-pending") == []
    await expect(page.get_by_role("link", name="Remove root")).to_have_count(0)


@pytest.mark.opens("vms/<system_id>/storage/<disk>/move")
async def test_a_disk_of_a_vm_moves_while_it_runs_or_is_off(admin: Visitor, fleet: Deployment) -> None:
    page, machine = admin.page, await machine_of(fleet)
    path = f"machines/{machine['system_id']}/"
    await fleet.post(path, op="power_on")
    await open_storage(admin, "web-1")
    await page.get_by_role("link", name="Move root").click()
    await expect(page.locator("main")).to_contain_text("The VM keeps running.")
    assert await looks(admin, "disk-move-running") == []
    await fleet.post(path, op="power_off")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("Move root of web-1")
    assert await looks(admin, "disk-move") == []
    await page.select_option("#pool", "nvme")
    await page.get_by_role("button", name="Move disk").click()
    await expect(page.get_by_role("row").filter(has_text="root")).to_contain_text("nvme")


@pytest.mark.opens("vms/<system_id>/storage/<disk>/remove", "vms/<system_id>/storage/attach")
async def test_a_disk_is_kept_and_attached_to_another_vm(admin: Visitor) -> None:
    page = admin.page
    await open_storage(admin, "web-1")
    await add_disk(admin)
    await page.get_by_role("link", name="Remove disk1").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="Keep the disk with its content")).to_be_checked()
    await expect(dialog).to_contain_text("all data on it are deleted")
    assert await admin.look("disk-remove-dialog", width=1400, reload=False) == []
    await dialog.get_by_role("button", name="Remove disk").click()
    await expect(page.get_by_role("row").filter(has_text="disk1")).to_have_count(0)
    await open_storage(admin, "db-1")
    await page.get_by_role("link", name="Attach a kept disk").click()
    assert await looks(admin, "disk-attach") == []
    await page.get_by_role("radio", name="disk of web-1").check()
    await page.get_by_role("button", name="Attach disk").click()
    await expect(page.get_by_role("row").filter(has_text="disk1")).to_contain_text("20 GB")
    link = page.get_by_role("link", name="Remove disk1")
    await admin.go((await link.get_attribute("href") or "").removeprefix("/MAAS/ui/"))
    assert await looks(admin, "disk-remove") == []


@pytest.mark.opens("hosts/<host>/kept-disks/<disk>/delete")
async def test_a_kept_disk_is_deleted_after_the_name(admin: Visitor, fleet: Deployment) -> None:
    page, machine = admin.page, await machine_of(fleet)
    path = f"machines/{machine['system_id']}/"
    await fleet.post(path, op="add_disk", size="20", tags="fast")
    await fleet.post(path, op="remove_disk", disk="sdb", keep="true")
    await admin.go(f"hosts/{fleet.hosts['alder']}/resources")
    assert await looks(admin, "disk-kept") == []
    await page.get_by_role("link", name="Delete disk of web-1").click()
    dialog = page.get_by_role("dialog")
    assert await admin.look("disk-delete", width=320, reload=False) == []
    await dialog.get_by_label("Type web-1 to confirm").fill("web-1")
    await dialog.get_by_role("button", name="Delete disk").click()
    await expect(page.get_by_role("heading", name="Kept disks")).to_have_count(0)
