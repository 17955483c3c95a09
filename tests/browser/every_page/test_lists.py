"""Lists with searches: fields, help, groups, columns, saved filters, and the VMs of one host."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


@pytest.mark.first_tier
async def test_the_vms_of_a_host_are_searched_and_selected(admin: Visitor, fleet: Deployment) -> None:
    await fleet.put(f"vm-hosts/{fleet.hosts['alder']}/", cpu_over_commit_ratio=4)
    for number in range(25):
        await fleet.compose(fleet.hosts["alder"], hostname=f"row-{number:02}", memory=1024)
    await fleet.compose(fleet.hosts["birch"], hostname="row-of-birch", memory=1024)
    await admin.go(f"hosts/{fleet.hosts['alder']}/vms?size=25&q=name:row cores:1&sort=-name")
    rows = admin.page.locator("#vms tbody tr")
    await expect(rows).to_have_count(25)
    await expect(rows.first).to_contain_text("row-24")
    await admin.go(f"hosts/{fleet.hosts['alder']}/vms?size=25&group=state")
    await expect(admin.page.locator(".ik-table__group")).to_contain_text("Ready 27")
    await admin.page.fill("#q", "name:row")
    await expect(admin.page.locator(".ik-table__group")).to_contain_text("Ready 25")
    await admin.page.get_by_label("Select all 25 VMs on this page").check()
    await admin.page.get_by_role("button", name="Stop", exact=True).click()
    await expect(admin.page.locator("main")).to_contain_text("25are off already")
    await admin.page.get_by_role("link", name="Cancel").click()
    await expect(admin.page.locator("h1")).to_contain_text("alder")
    await expect(rows).to_have_count(26)


async def test_all_that_match_on_a_host_are_selected_over_its_pages(admin: Visitor, fleet: Deployment) -> None:
    await fleet.put(f"vm-hosts/{fleet.hosts['alder']}/", cpu_over_commit_ratio=4)
    for number in range(26):
        await fleet.compose(fleet.hosts["alder"], hostname=f"row-{number:02}", memory=1024)
    await fleet.compose(fleet.hosts["birch"], hostname="row-of-birch", memory=1024)
    await admin.go(f"hosts/{fleet.hosts['alder']}/vms?size=25&q=row")
    await admin.page.get_by_label("Select row-00").check()
    await admin.page.get_by_label("Select all 26 that match, on every page").check()
    await admin.page.get_by_role("button", name="Stop", exact=True).click()
    await expect(admin.page.locator("main")).to_contain_text("26are off already")


async def test_a_search_that_cannot_be_read_says_what_exists(admin: Visitor) -> None:
    await admin.go("vms")
    await admin.page.fill("#q", "pool:stagin")
    problem = admin.page.locator("#q-problem")
    await expect(problem).to_contain_text("There is no pool 'stagin'; there is default.")
    await expect(admin.page.locator("#vms")).to_contain_text("The search cannot be read")
    await admin.page.fill("#q", "pool:default -name:db")
    await expect(problem).to_have_text("")
    await expect(admin.page.locator("#vms tbody tr")).to_have_count(1)
    await admin.go("vms?q=colour:red", status=422)
    await expect(admin.page.locator("#q")).to_have_attribute("aria-invalid", "true")
    await expect(problem).to_contain_text("There is no field colour; there are name, id, state")
    assert await admin.look("search-problem", width=320, reload=False) == []


@pytest.mark.parametrize("path", ["vms", "hosts", "hosts/1/vms"])
async def test_a_bad_query_is_marked_while_it_is_typed(admin: Visitor, path: str) -> None:
    await admin.go(path)
    field = admin.page.locator("#q")
    await field.fill("colour:red")
    await expect(admin.page.locator("#q-problem")).to_contain_text("There is no field colour")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    await field.fill("name:a")
    await expect(admin.page.locator("#q-problem")).to_have_text("")
    await expect(field).not_to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    await field.press_sequentially("l")
    await expect(field).to_have_value("name:al")


async def test_the_help_of_a_search_is_read_with_the_keyboard(admin: Visitor) -> None:
    await admin.go("vms")
    await admin.page.locator("#q").focus()
    await admin.page.keyboard.press("Tab")
    await expect(admin.page.get_by_role("button", name="How to search")).to_be_focused()
    await admin.page.keyboard.press("Enter")
    help_text = admin.page.locator("#search-help")
    await expect(help_text).to_be_visible()
    await expect(help_text).to_contain_text("pool:staging")
    assert await admin.look("search-help", width=1400, reload=False) == []
    assert await admin.look("search-help", width=320, reload=False) == []
    await admin.page.keyboard.press("Escape")
    await expect(help_text).to_be_hidden()


async def test_a_typed_search_stays_when_a_filter_is_clicked(admin: Visitor) -> None:
    await admin.go("vms")
    await admin.page.fill("#q", "name:web")
    await expect(admin.page.locator("#vms tbody tr")).to_have_count(1)
    await admin.page.get_by_role("link", name="Off", exact=True).click()
    await expect(admin.page.locator("#q")).to_have_value("name:web")
    await expect(admin.page.locator("#vms tbody tr")).to_have_count(1)


async def test_groups_count_the_whole_list_over_its_pages(admin: Visitor, fleet: Deployment) -> None:
    await fleet.put(f"vm-hosts/{fleet.hosts['alder']}/", cpu_over_commit_ratio=4)
    for number in range(26):
        await fleet.compose(fleet.hosts["alder"], hostname=f"row-{number:02}", memory=1024)
    await fleet.compose(fleet.hosts["birch"], hostname="row-of-birch", memory=1024)
    await admin.go("vms?size=25&group=host")
    await expect(admin.page.locator(".ik-table__group")).to_have_text(["alder 28"])
    await admin.page.get_by_role("link", name="2", exact=True).click()
    await expect(admin.page.locator(".ik-table__group")).to_have_text(["alder 28", "birch 1"])


async def test_a_group_of_a_list_spans_its_columns(admin: Visitor) -> None:
    await admin.go("vms?group=pool&columns=host&columns=pool")
    await expect(admin.page.locator(".ik-table__group")).to_have_text(["default 2"])
    assert await admin.look("vms-grouped", width=1400) == []


async def test_a_filter_is_saved_used_renamed_and_deleted(admin: Visitor) -> None:
    page = admin.page
    await admin.go("vms?q=name:web&group=host")
    await page.get_by_role("button", name="Save filter").click()
    await page.fill("#filter-name", "web servers")
    await page.get_by_role("button", name="Save", exact=True).click()
    chip = page.get_by_role("link", name="web servers", exact=True)
    await expect(chip).to_have_attribute("aria-current", "true")
    await expect(page.get_by_role("button", name="Save filter")).to_have_count(0)
    assert await admin.look("saved-filter", width=1400) == []
    assert await admin.look("saved-filter", width=320, dark=True) == []
    await admin.go("vms?q=db&group=host")
    await chip.click()
    await expect(page.locator("#q")).to_have_value("name:web")
    await expect(page.locator("#group")).to_have_value("host")
    await page.get_by_role("link", name="Manage").click()
    await page.get_by_role("link", name="Change web servers").click()
    await page.fill("#query", "pool:default colour:red")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#query-error")).to_contain_text("There is no field colour")
    await page.fill("#name", "web")
    await page.fill("#query", "name:web is:attention")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("main")).to_contain_text("name:web is:attention")
    assert await admin.look("saved-filters", width=320) == []
    await page.get_by_role("link", name="Delete web", exact=True).click()
    await page.get_by_role("button", name="Delete filter").click()
    await expect(page.locator("main")).to_contain_text("No saved filters")


async def test_columns_are_remembered_for_each_list(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    heads = page.locator("#vms thead th")
    await admin.go("vms?q=web")
    await page.get_by_role("button", name="Columns").click()
    for label in ("Addresses", "RAM, storage", "Last task", "Owner"):
        await page.get_by_role("checkbox", name=label, exact=True).uncheck()
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(heads).to_have_text(["Name", "State", "Host", "Cores", "CPU used", "Pool, tags"])
    await expect(page.locator("#q")).to_have_value("web")
    await admin.go("vms")
    await expect(heads).to_have_text(["Name", "State", "Host", "Cores", "CPU used", "Pool, tags"])
    await admin.go("vms?columns=owner")
    await expect(heads).to_have_text(["Name", "State", "Owner"])
    await admin.go(f"hosts/{fleet.hosts['alder']}/vms")
    await expect(heads).to_have_text(
        ["Name", "State", "Addresses", "Cores", "RAM, storage", "CPU used", "Pool, tags", "Owner"]
    )
    await admin.go("vms")
    await page.get_by_role("button", name="Columns").click()
    await page.get_by_role("button", name="Default").click()
    await expect(heads).to_have_count(10)


async def test_hosts_are_searched_by_fields_grouped_and_exported(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.put(f"vm-hosts/{fleet.hosts['birch']}/", tags="gpu,=cmd")
    await admin.go("hosts?q=cores:>=8")
    await expect(page.locator("#hosts tbody tr")).to_have_count(1)
    await page.fill("#q", "tag:gpu -is:attention")
    await expect(page.locator("#hosts tbody tr")).to_contain_text(["birch"])
    await page.fill("#q", "zone:nowhere")
    await expect(page.locator("#q-problem")).to_contain_text("There is no zone 'nowhere'; there is default.")
    await admin.go("hosts?group=zone&columns=tags&columns=vms")
    await expect(page.locator(".ik-table__group")).to_have_text(["default 2"])
    await expect(page.locator("#hosts thead th")).to_have_text(["Name", "State", "VMs", "Tags"])
    assert await admin.look("hosts-grouped", width=1400) == []
    assert await admin.look("hosts-grouped", width=320, dark=True) == []
    async with page.expect_download() as begun:
        await page.get_by_label("Export 2 hosts as CSV").click()
    text = (await (await begun.value).path()).read_text()
    head, *rows = text.splitlines()
    assert head.startswith("id,name,type,state,address")
    assert [row.split(",")[1] for row in rows] == ["alder", "birch"]
    assert "gpu =cmd" in rows[1]
