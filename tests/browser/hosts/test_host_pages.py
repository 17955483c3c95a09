"""The pages of a host: settings, removal, adoption; actions on several hosts."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

PAGES = (
    "hosts", "hosts/1/vms?view=numa", "hosts/1/settings", "hosts/1/remove?destroy=1&adopted=1", "hosts/1/adopt?guest=1",
    "hosts/1/adopt?all=1", "hosts/1/events",
    "hosts/1/tasks?show=failed", "hosts/add", "hosts/add?type=lxd", "hosts/add?step=check&host=1", "clusters",
)  # fmt: skip


async def test_the_pages_of_hosts_are_accessible(admin: Visitor) -> None:
    assert await admin.problems_of(PAGES) == {}


async def test_the_arithmetic_follows_the_ratio_as_it_is_typed(admin: Visitor) -> None:
    await admin.go("hosts/1/settings")
    await admin.page.fill("#cpu_over_commit_ratio", "0.1")
    await expect(admin.page.locator("#cpu-sum")).to_contain_text("over-committed")
    await expect(admin.page.locator("#cpu-sum")).to_contain_text("No VM is changed or stopped")
    assert await admin.page.input_value("#cpu_over_commit_ratio-range") == "0.1"
    await admin.page.fill("#cpu_over_commit_ratio-range", "3")
    await expect(admin.page.locator("#cpu-sum")).to_contain_text("48")
    assert await admin.page.input_value("#cpu_over_commit_ratio") == "3"


@pytest.mark.first_tier
async def test_two_people_who_edit_a_host_lose_nothing(admin: Visitor, chromium: Browser, fleet: Deployment) -> None:
    await admin.go("hosts/2/settings")
    other = await visitor(chromium, fleet, "mira")
    await other.enter()
    await other.go("hosts/2/settings")
    await other.page.fill("#cpu_over_commit_ratio", "2.0")
    await other.page.fill("#reserved_cores", "1")
    await other.page.get_by_role("button", name="Review and save").click()
    await other.page.get_by_role("button", name="Save", exact=True).click()
    await expect(other.page.locator("#note")).to_contain_text("Saved.")
    await other.leave()
    admin.expected_statuses.add(409)
    await admin.page.fill("#cpu_over_commit_ratio", "3.0")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#conflicts")).to_contain_text("2.0")
    assert await admin.page.input_value("#reserved_cores") == "1"
    await admin.page.get_by_role("button", name="Review and save").click()
    await admin.page.get_by_role("button", name="Save", exact=True).click()
    await expect(admin.page.locator("#note")).to_contain_text("Saved.")
    host = await fleet.get("vm-hosts/2/")
    assert (host["cpu_over_commit_ratio"], host["reserved_cores"]) == (3.0, 1)


async def test_changed_settings_are_shown_before_they_are_saved(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("hosts/2/settings")
    await expect(page.locator("#unsaved")).to_have_text("What you change is shown before it is saved.")
    await page.fill("#cpu_over_commit_ratio", "2")
    await page.fill("#tags", "ssd, fast")
    await page.select_option("#autostart", "never")
    unsaved = "3 unsaved changes: Tags simulated to ssd, fast; CPU ratio 1.0 to 2; VMs when it starts"
    await expect(page.locator("#unsaved")).to_contain_text(unsaved)
    assert await admin.look("settings-unsaved", width=320, reload=False) == []
    await page.get_by_role("button", name="Review and save").click()
    await expect(page.locator("h1")).to_have_text("Save 3 changes of birch?")
    rows = page.locator("#question tbody tr")
    await expect(rows).to_have_text(
        ["Tagssimulatedssd, fast", "CPU ratio1.02", "VMs when it startsas the installation is setstays off"]
    )
    assert await admin.violations() == []
    await page.get_by_role("link", name="Cancel").click()
    assert (await fleet.get("vm-hosts/2/"))["cpu_over_commit_ratio"] == 1.0
    await page.fill("#cpu_over_commit_ratio", "2")
    await page.get_by_role("button", name="Review and save").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert (await fleet.get("vm-hosts/2/"))["cpu_over_commit_ratio"] == 2.0


async def test_what_the_region_refuses_is_told_beside_its_field(admin: Visitor) -> None:
    await admin.go("hosts/2/settings")
    admin.expected_statuses.add(422)
    await admin.page.fill("#reserved_cores", "99")
    await admin.page.fill("#tags", "kept")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#reserved_cores-error")).to_contain_text("99")
    await expect(admin.page.locator("#problems")).to_be_focused()
    assert await admin.page.input_value("#tags") == "kept"


@pytest.mark.first_tier
async def test_a_host_is_removed_with_its_machines_after_its_name(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/settings")
    await admin.page.get_by_role("link", name="Destroy and remove").click()
    main = admin.page.locator("main")
    for word in ("web-1", "db-1", "This stays", "cannot be undone"):
        await expect(main).to_contain_text(word)
    admin.expected_statuses.add(422)
    button = admin.page.get_by_role("button", name="Destroy VMs and remove host")
    await button.click()
    await expect(main).to_contain_text("Type alder to confirm.")
    await admin.page.fill("#typed", "alder")
    await button.click()
    await expect(admin.page.locator("#note")).to_contain_text("Remove host alder")

    async def is_gone() -> bool:
        return [host["name"] for host in await fleet.get("vm-hosts/")] == ["birch"]

    await eventually(is_gone)
    assert await fleet.get("machines/") == []


async def test_a_dead_host_is_removed_by_force_from_its_settings(admin: Visitor) -> None:
    await admin.go("hosts/1/settings")
    await admin.page.get_by_role("link", name="Remove host").click()
    admin.expected_statuses.add(409)  # this one answers
    await admin.page.get_by_role("dialog").locator("a", has_text="It is dead").click()
    await expect(admin.page.locator("main")).to_contain_text("This was refused")


async def test_a_living_host_is_not_removed_by_force(admin: Visitor) -> None:
    await admin.go("hosts/1/remove?force=1", status=409)
    await expect(admin.page.locator("main")).to_contain_text("This was refused")
    assert await admin.page.locator("button.p-button--negative").count() == 0


async def test_a_guest_is_adopted_and_forgotten(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/vms")
    await admin.page.locator("td a", has_text="Adopt").first.click()
    await admin.page.fill("#hostname", "found-1")
    await admin.page.get_by_role("button", name="Adopt", exact=True).click()
    await expect(admin.page.locator("#note")).to_contain_text("Adopt found-1")
    await expect(admin.page.locator("#note")).to_contain_text("succeeded")
    await admin.page.get_by_role("link", name="Forget found-1").click()
    await expect(admin.page.get_by_role("dialog")).to_contain_text("stays on alder unchanged")
    await admin.page.get_by_role("button", name="Forget found-1").click()
    await expect(admin.page.locator("#note")).to_contain_text("Forget found-1")
    await expect(admin.page.locator("#note")).to_contain_text("succeeded")
    assert {machine["hostname"] for machine in await fleet.get("machines/")} == {"web-1", "db-1"}


async def test_the_ticked_hosts_are_closed_with_one_reason(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts")
    await expect(admin.page.locator(".ik-bulk")).to_be_hidden()
    await admin.page.get_by_label("Select all 2 hosts on this page").check()
    await expect(admin.page.locator("[data-selection-count]")).to_have_text("2 selected")
    await admin.page.get_by_role("button", name="Close for placement").click()
    await admin.page.fill("#reason", "new disks")
    await admin.page.get_by_role("button", name="Close for placement").click()
    await expect(admin.page.locator("#note")).to_contain_text("done for 2 hosts")
    reasons = [host["maintenance"]["reason"] for host in await fleet.get("vm-hosts/")]
    assert reasons == ["new disks", "new disks"]


async def test_a_tick_outlives_a_refresh_of_the_list(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await admin.page.get_by_label("Select birch").check()
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#host-2 th + td + td + td")).to_have_text("1")
    await expect(admin.page.locator("[data-selection-count]")).to_have_text("1 selected")


async def test_everything_that_matches_is_selected_over_all_pages(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    for number in range(26):
        await fleet.add_simulated(f"row-{number:02}", cores=2, memory_mib=4096)
    await admin.go("hosts?size=25&q=row")
    every, first = page.get_by_label("Select all 26 that match, on every page"), page.get_by_label("Select row-00")
    await first.check()
    await every.check()
    await expect(page.locator("[data-selection-count]")).to_have_text("26 selected")
    assert await admin.look("hosts-selected", width=320, reload=False) == []
    await first.uncheck()
    await first.check()
    await expect(every).not_to_be_checked()  # what is ticked alone must not mean all
    await expect(page.locator("[data-selection-count]")).to_have_text("1 selected")
    await every.check()
    await page.get_by_role("button", name="Add tag").click()
    await expect(page.locator("h1")).to_have_text("Add tag: 26 hosts?")
    await page.fill("#tag", "rack-9")
    await page.get_by_role("button", name="Add tag").click()
    await expect(page.locator("#note")).to_contain_text("done for 26 hosts")
    await expect(page.locator("#q")).to_have_value("row")
    tagged = {host["name"] for host in await fleet.get("vm-hosts/") if "rack-9" in host["tags"]}
    assert tagged == {f"row-{number:02}" for number in range(26)}


async def test_hosts_out_of_sight_are_named_before_anything_is_done(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    for number in range(26):
        await fleet.add_simulated(f"row-{number:02}", cores=2, memory_mib=4096)
    before = await fleet.fetch("select id from operation")
    await admin.go("hosts?size=25&q=row")
    await page.get_by_label("Select row-00").check()
    await page.get_by_label("Select all 26 that match, on every page").check()
    await page.get_by_role("button", name="Refresh", exact=True).click()
    await expect(page.locator("h1")).to_have_text("Refresh: 26 hosts?")
    assert await fleet.fetch("select id from operation") == before
    await page.get_by_role("button", name="Refresh", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("The refresh of 26 hosts has begun.")


async def test_the_head_of_a_host_names_the_rack_that_reaches_it(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/vms")
    racks = admin.page.locator("#host-racks")
    await expect(racks).to_have_text("Rackrack")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await fleet.stop_rack("rack")
    await expect(racks).to_have_text("Racknone is connected")
    await fleet.start_rack("rack")
    await racks.get_by_role("link", name="rack", exact=True).click()
    await expect(admin.page.locator("h1")).to_have_text("rack")
