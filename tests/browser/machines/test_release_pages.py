"""Releases in a browser: what becomes of the disks, by keyboard, without scripts, of one VM and of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt
from tests.integration.support.images import add_image
from tests.postgresql.database import execute
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Browser

WIDTHS = (1280, 390)


async def deployed(fleet: Deployment, name: str = "web-1") -> Any:
    await add_image(fleet, "ubuntu/noble")
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == name]
    await fleet.post(f"machines/{machine['system_id']}/", op="deploy")
    await eventually(lambda: has_status(fleet, machine, "Deployed"))
    assert fleet.simulated("alder").written_disks_of(name) == [True]
    return machine


async def has_status(fleet: Deployment, machine: Any, status: str) -> bool:
    return bool((await fleet.get(f"machines/{machine['system_id']}/"))["status_name"] == status)


async def test_the_disks_are_chosen_by_keyboard(admin: Visitor, fleet: Deployment) -> None:
    machine, page = await deployed(fleet), admin.page
    await admin.go(f"vms/{machine['system_id']}/release")
    for width in WIDTHS:
        for dark in (False, True):
            assert await admin.look("release", width=width, dark=dark) == []
    await expect(page.get_by_label("Leave the data disks")).to_be_checked()
    await page.get_by_label("Leave the data disks").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="Empty all disks (quick erase)")).to_be_checked()
    await expect(page.get_by_role("radio", name="Empty all disks (quick erase)")).to_have_accessible_description(
        "Each disk is deleted and created again, which takes a moment. Refused for adopted VMs."
    )
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_label("Power off at once (force)")).to_be_checked()
    await page.keyboard.press("Tab")
    await page.keyboard.type("for the next team")
    await page.keyboard.press("Enter")
    await page.click("#note-task")
    await eventually(lambda: has_status(fleet, machine, "Ready"))
    await expect(page.locator("h1")).to_have_text("Release web-1")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")
    assert fleet.simulated("alder").written_disks_of("web-1") == [False]


async def test_a_refusal_is_at_the_choice(admin: Visitor, fleet: Deployment) -> None:
    (host,) = [one for one in await fleet.get("vm-hosts/") if one["name"] == "alder"]
    (machine,) = await adopt(fleet, host, all="true")
    page = admin.page
    await admin.go(f"vms/{machine['system_id']}/release")
    await expect(page.locator("main")).to_contain_text("was adopted with what it runs")
    assert await admin.look("release-adopted", width=1280) == []
    await page.get_by_label("Empty all disks (quick erase)").check()
    await page.fill("#typed", machine["hostname"])
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Release VM").click()
    await expect(page.locator("#erase-error")).to_contain_text("was adopted")
    await expect(page.get_by_label("Empty all disks (quick erase)")).to_be_checked()
    assert await admin.look("release-refused", width=390, reload=False) == []
    await page.locator("#problems").get_by_role("link", name="erase").click()
    assert await page.evaluate("document.activeElement.id") == "erase"


@pytest.mark.first_tier
async def test_a_vm_that_its_release_deletes_takes_its_name(admin: Visitor, fleet: Deployment) -> None:
    machine, page = await deployed(fleet), admin.page
    await execute(fleet.region.components.database, "update machine set composed_by_allocate = true")
    await admin.go(f"vms/{machine['system_id']}/release")
    for width in WIDTHS:
        assert await admin.look("release-deletes", width=width) == []
    for label in ("Empty all disks (quick erase)", "Power off at once (force)"):
        await expect(page.get_by_label(label)).to_have_count(0)
    button = page.get_by_role("button", name="Release VM")
    await page.fill("#typed", "web")
    await expect(button).to_be_disabled()
    await page.get_by_label("Overwrite the disks, then delete them (secure erase)").check()
    await page.fill("#typed", "web-1")
    await button.click()
    await expect(page.locator("h1")).to_contain_text("VMs")  # the page of the VM is gone soon
    await expect(page.locator("#note-task")).to_be_visible()
    await eventually(lambda: _is_gone(fleet, machine))


async def _is_gone(fleet: Deployment, machine: Any) -> bool:
    return machine["system_id"] not in {one["system_id"] for one in await fleet.get("machines/")}


async def test_several_are_released_without_scripts(chromium: Browser, fleet: Deployment) -> None:
    machine = await deployed(fleet)
    plain = await visitor(chromium, fleet, "mira", scripts=False)
    await plain.enter()
    page = plain.page
    await plain.go("vms")
    await page.get_by_label("Select web-1").check()
    await page.get_by_role("button", name="Release", exact=True).click()
    await page.get_by_label("Empty all disks (quick erase)").check()
    await page.get_by_label("Power off at once (force)").check()
    await page.fill("#comment", "for the next team")
    await page.fill("#typed", "web-1")
    await page.get_by_role("button", name="Release 1 VM").click()
    await eventually(lambda: has_status(fleet, machine, "Ready"))
    assert fleet.simulated("alder").written_disks_of("web-1") == [False]
    await plain.leave()
    assert plain.complaints == []


async def test_the_bulk_page_fits(admin: Visitor, fleet: Deployment) -> None:
    await deployed(fleet)
    await admin.go("vms")
    await admin.page.get_by_label("Select web-1").check()
    await admin.page.get_by_role("button", name="Release", exact=True).click()
    await expect(admin.page.get_by_role("group", name="Disks")).to_be_visible()
    for width in WIDTHS:
        assert await admin.look("release-bulk", width=width, reload=False) == []
