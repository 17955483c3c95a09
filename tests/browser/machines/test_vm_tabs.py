"""The pages of one VM: its tabs, its place on the host, its disks by name, and what is edited in place."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment

TABS = ("Summary", "Network", "Storage", "Console", "Screen", "Tasks", "Events", "Configuration")


async def _machine(fleet: Deployment, name: str) -> dict[str, object]:
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == name]
    return dict(machine)


async def _path(fleet: Deployment, name: str) -> str:
    return f"vms/{(await _machine(fleet, name))['system_id']}"


@pytest.mark.first_tier
async def test_each_tab_is_an_address_that_needs_no_script(chromium: Browser, fleet: Deployment) -> None:
    reader = await visitor(chromium, fleet, "mira", scripts=False)
    await reader.enter()
    await reader.go(await _path(fleet, "db-1"))
    tabs = reader.page.get_by_role("navigation", name="Pages of VM db-1")
    for name in TABS:
        await tabs.get_by_role("link", name=name).click()
        await expect(tabs.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        await expect(reader.page.locator("h1")).to_have_text("db-1")
    await reader.leave()


async def test_tabs_are_accessible_at_each_width(admin: Visitor, fleet: Deployment) -> None:
    path = await _path(fleet, "db-1")
    pages = [path, *(f"{path}/{name.lower()}" for name in TABS[1:])]
    assert await admin.problems_of(pages) == {}


async def test_the_place_of_a_vm_names_node_cores_and_its_choice(admin: Visitor, fleet: Deployment) -> None:
    await admin.go(await _path(fleet, "db-1"))
    facts = admin.page.locator("#placement")
    await expect(facts).to_contain_text(re.compile(r"NUMA node\s*0.*Pinned cores\s*4.*Claimed cores\s*1 of", re.DOTALL))
    await expect(admin.page.get_by_role("img", name="Cores of alder: this VM has 4")).to_be_visible()
    await facts.get_by_role("link", name="Task #").click()
    await expect(admin.page.locator("#main")).to_contain_text("Placement")


async def test_a_disk_is_called_by_its_label(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("vm-hosts/1/", op="compose", hostname="labels-1", cores=1, memory=1024, storage="sys:8,data:9,10")
    await admin.go(f"{await _path(fleet, 'labels-1')}/storage")
    names = admin.page.get_by_role("region", name="Disks, table").get_by_role("rowheader")
    await expect(names).to_have_text([re.compile(r"sys\s*boots"), "data", "disk2", "Total"])


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
async def test_a_vm_boots_from_the_disk_that_was_chosen(chromium: Browser, fleet: Deployment, scripts: bool) -> None:
    name = f"boots-{int(scripts)}"
    await fleet.post("vm-hosts/1/", op="compose", hostname=name, cores=1, memory=1024, storage="sys:8,data:9,10")
    operator = await visitor(chromium, fleet, "mira", scripts=scripts)
    await operator.enter()
    await operator.go(f"{await _path(fleet, name)}/storage")
    disks = operator.page.get_by_role("region", name="Disks, table")
    await expect(disks.get_by_role("row").filter(has_text="boots")).to_have_text([re.compile(r"^\s*sys\s*boots")])
    await expect(disks.get_by_role("button", name="Boot from this disk sys")).to_have_count(0)
    await disks.get_by_role("button", name="Boot from this disk data").click()
    await expect(operator.page.locator("#note")).to_contain_text(f"Set boot disk of {name}")
    await expect(disks.get_by_role("row").filter(has_text="boots")).to_have_text([re.compile(r"^\s*data\s*boots")])
    await expect(disks.get_by_role("button", name="Boot from this disk sys")).to_be_visible()
    boot_disk = (await _machine(fleet, name))["boot_disk"]
    assert isinstance(boot_disk, dict)
    assert boot_disk["name"] == "sdb"
    await operator.leave()


async def test_the_boot_disk_of_a_running_vm_is_that_of_its_next_start(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post(
        "vm-hosts/1/", op="compose", hostname="runs-1", cores=1, memory=1024, storage="sys:8,data:9", power_on="true"
    )
    await admin.go(f"{await _path(fleet, 'runs-1')}/storage")
    await expect(admin.page.locator("#vm-storage")).to_contain_text("takes effect at the next start of the VM")
    for width, dark in ((1400, False), (320, True)):
        assert await admin.look("boot-disk", width=width, dark=dark, reload=False) == []


async def test_one_action_is_the_main_one_and_the_rest_a_menu(admin: Visitor, fleet: Deployment) -> None:
    machine = await _machine(fleet, "web-1")
    await admin.go(f"vms/{machine['system_id']}")
    main = admin.page.locator("#vm-head .p-button--positive")
    await expect(main).to_have_text(["Deploy"])
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await expect(main).to_have_text(["Console"])
    await expect(admin.page.locator("#vm-since")).to_contain_text("since")
    await expect(admin.page.get_by_role("link", name="Power off")).to_be_hidden()
    await admin.page.get_by_role("button", name="More actions on web-1").click()
    await expect(admin.page.get_by_role("link", name="Power off")).to_be_visible()
    assert await admin.look("vm-menu", width=320, reload=False) == []


async def test_the_console_card_shows_the_last_lines(admin: Visitor, fleet: Deployment) -> None:
    machine = await _machine(fleet, "web-1")
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await admin.go(f"vms/{machine['system_id']}")
    await expect(admin.page.locator("#console-end")).to_contain_text("No bootable device.")


async def test_description_and_tags_are_edited_in_place(admin: Visitor, fleet: Deployment) -> None:
    await admin.go(await _path(fleet, "web-1"))
    page = admin.page
    await page.get_by_label("Edit description and tags").click()
    await page.fill("#description", "The shop's front.\nAsk ann.")
    await page.fill("#tags", "web, front")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vm-notes")).to_contain_text("The shop's front.")
    await expect(page.locator("#vm-head")).to_contain_text("web front")
    await page.get_by_label("Edit description and tags").click()
    await page.fill("#tags", "front, no;tag")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#tags-error")).to_be_visible()
    await page.fill("#tags", "front")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#vm-notes .ik-tag")).to_have_text(["front"])


async def test_two_editors_of_a_description_see_both(admin: Visitor, fleet: Deployment) -> None:
    machine = await _machine(fleet, "web-1")
    await admin.go(f"vms/{machine['system_id']}")
    await admin.page.get_by_label("Edit description and tags").click()
    await admin.page.fill("#description", "mine")
    await fleet.put(f"machines/{machine['system_id']}/", description="theirs")
    await expect(admin.page.locator("#vm-notes")).to_contain_text("theirs")
    admin.expected_statuses.add(409)
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#conflicts tbody tr")).to_have_text(re.compile(r"Description\s*–\s*theirs\s*mine"))
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#vm-notes")).to_contain_text("mine")
