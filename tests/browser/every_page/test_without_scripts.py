"""Without JavaScript the pages read completely, and their forms post."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.every_page.test_every_page import ACCOUNT_AND_POOLS, PAGES, SETTINGS
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

# What a script would have to do: such a control does nothing here.
_DEAD = "button[type=button]:enabled:not([popovertarget]):visible, [data-select-all]:visible"


async def succeeded(plain: Visitor, fleet: Deployment) -> None:
    """The task whose page is open, or to which the note leads, ends well."""
    await plain.page.locator("#note-task, #task-head").first.wait_for()
    if await plain.page.locator("#note-task").count():
        await plain.page.click("#note-task")
    await plain.page.wait_for_url("**/tasks/*")
    assert await fleet.ended(int(plain.page.url.rpartition("/")[2])) == "succeeded"
    await plain.page.reload()
    await expect(plain.page.locator("#task-head")).to_contain_text("Succeeded")


@pytest.mark.parametrize("paths", [PAGES, SETTINGS, ACCOUNT_AND_POOLS], ids=["fleet", "settings", "account"])
async def test_every_page_reads_and_offers_only_what_works(plain: Visitor, paths: tuple[str, ...]) -> None:
    dead = {}
    for path in paths:
        await plain.go(path)
        assert len(await plain.page.locator("h1").inner_text()) > 1
        assert len(await plain.page.locator("main").inner_text()) > 40, path
        if found := await plain.page.locator(_DEAD).all_inner_texts():
            dead[path] = found
        await expect(plain.page.locator("#live-state")).to_be_hidden()
    assert dead == {}


async def test_lists_are_searched_grouped_and_paged_by_plain_forms(plain: Visitor) -> None:
    page = plain.page
    await plain.go("vms")
    await page.fill("#q", "web")
    await page.select_option("#group", "host")
    await page.locator("#vms-search").get_by_role("button", name="Apply").click()
    await expect(page.locator("#vms")).to_contain_text("web-1")
    await expect(page.locator("#vms")).not_to_contain_text("db-1")
    await expect(page.locator(".ik-table__group")).to_contain_text("alder")
    await page.fill("#search", "db-1")
    await page.locator("#search").press("Enter")
    await page.locator("#results").get_by_role("link", name="db-1").first.click()
    await expect(page.locator("h1")).to_have_text("db-1")


@pytest.mark.first_tier
async def test_a_machine_is_composed_started_and_deleted(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await plain.go("compose?host=birch")
    await page.get_by_role("button", name="Add disk").click()
    await page.fill("#hostname", "plain-1")
    await page.fill("#memory", "1024")
    await page.get_by_label("Size of disk1 in GB").fill("3")
    await page.locator("button.p-button--positive[value=compose]").click()
    await succeeded(plain, fleet)
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "plain-1"]
    assert len(machine["physicalblockdevice_set"]) == 2
    path = f"machines/{machine['system_id']}/"
    await plain.go(f"vms/{machine['system_id']}")
    await page.get_by_role("button", name="Start").click()

    async def is_running() -> bool:
        return bool((await fleet.get(path))["power_state"] == "on")

    await eventually(is_running)
    await plain.go(f"vms/{machine['system_id']}/delete")
    await page.fill("#typed", "plain-1")
    await page.get_by_role("button", name="Delete VM").click()
    await succeeded(plain, fleet)
    assert "plain-1" not in [one["hostname"] for one in await fleet.get("machines/")]


async def test_settings_are_saved_and_refused_with_the_reason(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await plain.go("hosts/2/settings")
    plain.expected_statuses.add(422)
    await page.fill("#reserved_cores", "99")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#reserved_cores-error")).to_contain_text("99")
    await page.fill("#reserved_cores", "1")
    await page.get_by_role("button", name="Review and save").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert (await fleet.get("vm-hosts/2/"))["reserved_cores"] == 1


async def test_a_bulk_action_is_confirmed_and_done(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await plain.go("vms")
    await page.get_by_label("Select web-1").check()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Start 1 VM")
    await page.get_by_role("button", name="Log out mira").click()
    await page.wait_for_url("**/login")
