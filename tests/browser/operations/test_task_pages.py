"""Tasks in the browser: filters with counts, files, an error once, another attempt, links only to what there is."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment


async def test_tasks_are_filtered_with_counts(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.refreshed(fleet.hosts["birch"])
    await admin.go("tasks")
    all_of_them = len(await fleet.get("operations/"))
    counts = page.get_by_role("navigation", name="Quick filter")
    await expect(counts.get_by_role("link", name=f"All {all_of_them}")).to_be_visible()
    await page.get_by_label("Kind").select_option(label="Compose")
    await expect(page.locator("#tasks tbody tr")).to_have_count(2)
    await expect(counts.get_by_role("link", name="All 2", exact=True)).to_be_visible()
    await page.get_by_label("State").select_option(label="Failed")
    await expect(page.locator("#tasks")).to_contain_text("No task matches")
    await admin.go("tasks?until=2000-01-01T00:00")
    await expect(page.locator("#tasks")).to_contain_text("No task matches")
    assert await admin.look("tasks-filtered", width=320, dark=True) == []
    await admin.go("tasks?since=2026-13-01T00:00", status=422)
    await expect(page.locator("#since-error")).to_be_visible()
    admin.complaints = [one for one in admin.complaints if "does not conform" not in one]  # the browser says so too


async def test_tasks_are_exported_as_csv_and_json(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("tasks?kind=compose")
    await page.get_by_role("button", name="Export").click()
    async with page.expect_download() as csv_download:
        await page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO((await (await csv_download.value).path()).read_text())))
    assert sorted((row["kind"], row["hostname"]) for row in rows) == [("compose", "db-1"), ("compose", "web-1")]
    await admin.go("tasks?kind=compose")
    await page.get_by_role("button", name="Export").click()
    async with page.expect_download() as json_download:
        await page.get_by_role("link", name="JSON").click()
    found = json.loads((await (await json_download.value).path()).read_text())
    assert sorted(one["hostname"] for one in found) == ["db-1", "web-1"]


async def test_files_hold_the_tasks_that_a_search_shows(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go(f"hosts/{fleet.hosts['alder']}/tasks")
    await page.locator("#q").press_sequentially("web")
    await expect(page.locator("#export a").first).to_have_attribute("href", re.compile("[?&]q=web"))
    await admin.go("tasks")
    await page.locator("#q").press_sequentially("web-1")
    await expect(page.locator("#tasks")).not_to_contain_text("db-1")
    await page.get_by_role("button", name="Export").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    rows = csv.DictReader(io.StringIO((await (await download.value).path()).read_text()))
    assert {row["hostname"] for row in rows} == {"web-1"}


async def test_a_failed_task_shows_its_error_once_and_is_tried_again(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    with fleet.simulated("birch").down():
        task = await fleet.begin("vm-hosts/2/", op="refresh")
        await fleet.ended(task)
    await admin.go(f"tasks/{task}")
    error = (await fleet.get(f"operations/{task}/"))["error"]["message"]
    assert (await page.locator("#task-body").inner_text()).count(error) == 2  # at the top, and in the log
    await expect(page.locator(".ik-log")).not_to_contain_text("retry in s")
    assert await admin.violations() == []
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#note")).to_contain_text("Refresh birch")
    await expect(page.locator("#note")).to_contain_text("succeeded")


async def test_a_task_links_only_to_what_there_is(admin: Visitor, fleet: Deployment) -> None:
    (web,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    task = await fleet.begin(f"machines/{web['system_id']}/", method="DELETE")
    assert await fleet.ended(task) == "succeeded"
    await admin.go(f"tasks/{task}")
    facts = admin.page.locator("#task-head dl")
    await expect(facts).to_contain_text("web-1")
    await expect(facts.get_by_role("link", name="web-1")).to_have_count(0)
    await expect(facts.get_by_role("link", name="alder")).to_be_visible()


async def test_many_vms_are_tried_again_where_it_failed(admin: Visitor, fleet: Deployment) -> None:
    page, machines = admin.page, await fleet.get("machines/")
    (web,) = [one["system_id"] for one in machines if one["hostname"] == "web-1"]
    await fleet.fetch("update machine set locked = true, state = 'deployed' where system_id = $1", web)
    task = await fleet.begin("machines/", op="bulk", action="delete", machines=[one["system_id"] for one in machines])
    assert await fleet.ended(task) == "failed"
    await fleet.post(f"machines/{web}/", op="unlock")
    await admin.go(f"tasks/{task}")
    assert await admin.violations() == []
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("h1")).to_have_text("Delete 1 of 1 VM?")
    await page.fill("#typed", "web-1")
    await page.get_by_role("button", name="Delete 1 VM").click()
    await expect(page.locator("#note")).to_contain_text("Delete 1 VM")
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert await fleet.get("machines/") == []
