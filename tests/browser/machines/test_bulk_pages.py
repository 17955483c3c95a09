"""Actions on many VMs: what is asked, what is done, what is left."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image


async def test_a_bulk_action_leaves_what_it_cannot_change(admin: Visitor, fleet: Deployment) -> None:
    (web,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await fleet.post(f"machines/{web['system_id']}/", op="power_on")
    await admin.go("vms")
    await admin.page.get_by_label("Select all 2 VMs on this page").check()
    await expect(admin.page.locator("[data-selection-count]")).to_have_text("2 selected")
    await admin.page.get_by_role("button", name="Start", exact=True).click()
    outcome = admin.page.locator(".ik-outcome")
    await expect(outcome).to_contain_text("will be started")
    await expect(outcome).to_contain_text("is running already, and will be left")
    await admin.page.get_by_role("button", name="Start 1 VM").click()
    await admin.page.click("#note-task")
    await expect(admin.page.locator("h1")).to_have_text("Start 1 VM")
    await expect(admin.page.locator("#task-head")).to_contain_text("Succeeded")
    await expect(admin.page.locator("#task-body tbody tr")).to_contain_text(["db-1"])


async def test_many_vms_are_one_task_with_a_chosen_number_at_once(admin: Visitor, fleet: Deployment) -> None:

    await fleet.put(f"vm-hosts/{fleet.hosts['alder']}/", cpu_over_commit_ratio=4)
    for number in range(4):
        await fleet.compose(fleet.hosts["alder"], hostname=f"row-{number}", memory=1024)
    await admin.go("vms")
    await admin.page.get_by_label("Select all 6 VMs on this page").check()
    await admin.page.get_by_role("button", name="Start", exact=True).click()
    await expect(admin.page.locator("h1")).to_have_text("Start 6 of 6 VMs?")
    assert await admin.violations() == []  # without a reload, which would send the form again
    await admin.page.get_by_label("How many at the same time").fill("2")
    with fleet.held(name="alder"):
        await admin.page.get_by_role("button", name="Start 6 VMs").click()
        await admin.page.click("#note-task")
        await expect(admin.page.locator("#task-head")).to_contain_text("Not begun4")
        await expect(admin.page.locator("#task-body tbody tr")).to_have_count(2)
        assert await admin.look("bulk-task-running", width=1400) == []
    await expect(admin.page.locator("#task-head")).to_contain_text("Done6 of 6")
    await expect(admin.page.locator("#task-head")).to_contain_text("Succeeded")
    assert await admin.look("bulk-task", width=375) == []


@pytest.mark.first_tier
async def test_deleting_many_shows_their_disks_and_takes_the_count(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms")
    await admin.page.get_by_label("Select all 2 VMs on this page").check()
    await admin.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(admin.page.locator("main")).to_contain_text("8 GB")
    confirm = admin.page.get_by_role("button", name="Delete 2 VMs")
    await admin.page.fill("#typed", "3")
    await expect(confirm).to_be_disabled()
    await admin.page.fill("#typed", "2")
    await confirm.click()
    await admin.page.click("#note-task")
    await expect(admin.page.locator("h1")).to_have_text("Delete 2 VMs")
    await expect(admin.page.locator("#task-head")).to_contain_text("Succeeded")
    await admin.go("vms")
    await expect(admin.page.locator("#vms")).to_contain_text("No VMs yet")


async def test_everything_that_matches_is_selected_over_all_pages(admin: Visitor, fleet: Deployment) -> None:
    await fleet.put(f"vm-hosts/{fleet.hosts['alder']}/", cpu_over_commit_ratio=4)
    for number in range(24):
        await fleet.compose(fleet.hosts["alder"], hostname=f"row-{number:02}", memory=1024)
    await admin.go("vms?size=25&q=alder")
    await admin.page.get_by_label("Select row-00").check()
    await admin.page.get_by_label("Select all 26 that match, on every page").check()
    await admin.page.get_by_role("button", name="Stop", exact=True).click()
    await expect(admin.page.locator("main")).to_contain_text("26are off already")


async def test_filters_are_chips_that_can_be_removed(admin: Visitor) -> None:
    await admin.go("vms?group=host")
    await admin.page.get_by_role("button", name="Add filter").click()
    await admin.page.select_option("#filter-host", "birch")
    await admin.page.get_by_role("button", name="Filter", exact=True).click()
    await expect(admin.page.locator("#vms")).to_contain_text("No VM matches")
    await admin.page.get_by_role("link", name="Remove filter host birch").click()
    await expect(admin.page.locator("#vms")).to_contain_text("web-1")
    await expect(admin.page.locator(".ik-table__group")).to_contain_text("alder")


async def test_many_vms_are_deployed_as_one_task(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await add_image(fleet, "ubuntu/noble")
    await admin.go("vms")
    await page.get_by_label("Select all 2 VMs on this page").check()
    await page.get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.locator(".ik-outcome")).to_contain_text("will be deployed")
    await page.select_option("#distro_series", "ubuntu/noble")
    await page.fill("#user_data", "neither")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Deploy 2 VMs").click()
    await expect(page.locator("#user_data-error")).to_contain_text("neither")
    assert await page.input_value("#distro_series") == "ubuntu/noble"
    assert await admin.look("bulk-deploy", width=320, reload=False) == []
    await page.fill("#user_data", "#cloud-config\npackages: [htop]")
    await page.get_by_role("button", name="Deploy 2 VMs").click()
    await page.click("#note-task")
    await expect(page.locator("h1")).to_have_text("Deploy 2 VMs")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")
    assert {one["status_name"] for one in await fleet.get("machines/")} == {"Deployed"}


async def test_the_disk_with_one_name_grows_on_each_vm(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("vms")
    await page.get_by_label("Select all 2 VMs on this page").check()
    await page.get_by_role("button", name="Change hardware").click()
    assert await admin.violations() == []  # without a reload, which would close the menu
    await page.get_by_role("button", name="Grow a disk").click()
    await expect(page.locator("h1")).to_have_text("Grow a disk of 2 VMs")
    await page.get_by_label("Disk").fill("root")
    await page.get_by_label("Size in GB").fill("9")
    await page.get_by_role("button", name="Show what changes").click()
    await expect(page.locator("main")).to_contain_text("2 machines are given a larger disk.")
    assert await admin.violations() == []
    await page.get_by_role("button", name="Grow a disk of 2 VMs").click()
    await page.click("#note-task")
    await expect(page.locator("#task-head")).to_contain_text("Succeeded")
    disks = {disk["size"] for one in await fleet.get("machines/") for disk in one["blockdevice_set"]}
    assert disks == {9_000_000_000}


async def test_the_network_of_the_nic_with_one_name_changes_on_each_vm(admin: Visitor) -> None:
    page = admin.page
    await admin.go("vms")
    await page.get_by_label("Select all 2 VMs on this page").check()
    await page.get_by_role("button", name="Change hardware").click()
    await page.get_by_role("button", name="Remove a NIC").click()
    await page.get_by_label("NIC").fill("eth7")
    await page.get_by_role("button", name="Show what changes").click()
    await expect(page.locator("main")).to_contain_text("has no NIC eth7; it has eth0.")
    assert await admin.violations() == []
