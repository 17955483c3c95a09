"""One VM in the browser: edited by two people, marked broken, and what a viewer is offered."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.support.rejections import rejection

PAGES = (
    "vms?group=host&pool=default", "vms/bulk", "tasks?q=db&host=alder", "search?q=alder", "search?q=10.20.10.1",
    "components",
)  # fmt: skip


async def test_pages_of_lists_and_the_search_are_accessible(admin: Visitor) -> None:
    assert await admin.problems_of(PAGES) == {}


async def _open(admin: Visitor, name: str) -> str:
    await admin.go(f"vms?q={name}")
    await admin.page.get_by_role("link", name=name, exact=True).click()
    await expect(admin.page.locator("h1")).to_have_text(name)
    return admin.page.url.split("/MAAS/ui/")[1]


@pytest.mark.first_tier
async def test_the_second_of_two_editors_sees_both_values(admin: Visitor, chromium: Browser, fleet: Deployment) -> None:
    path = await _open(admin, "web-1")
    other = await visitor(chromium, fleet, "mira")
    await other.enter()
    await admin.go(f"{path}/edit")
    await other.go(f"{path}/edit")
    await other.page.fill("#description", "theirs")
    await other.page.get_by_role("button", name="Save").click()
    await expect(other.page.locator("#vm-body")).to_contain_text("theirs")
    await admin.page.fill("#description", "mine")
    admin.expected_statuses.add(409)
    await admin.page.get_by_role("button", name="Save").click()
    both = re.compile(r"Description\s*–?\s*theirs\s*mine")
    await expect(admin.page.locator("#conflicts tbody tr")).to_have_text(both)
    assert await admin.page.input_value("#description") == "mine"
    assert await admin.look("vm-conflict", width=320) == []
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#vm-body")).to_contain_text("mine")
    await other.leave()


async def test_a_bad_name_is_told_beside_its_field(admin: Visitor) -> None:
    path = await _open(admin, "web-1")
    await admin.go(f"{path}/edit")
    await admin.page.fill("#hostname", "not a name")
    admin.expected_statuses.add(422)
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#hostname-error")).to_be_visible()
    assert await admin.page.input_value("#hostname") == "not a name"


async def test_owner_data_is_added_and_removed(admin: Visitor) -> None:
    path = await _open(admin, "web-1")
    await admin.go(f"{path}/owner-data")
    await admin.page.fill("#new-key", "juju")
    await admin.page.fill("#new-value", "unit/0")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#vm-body")).to_contain_text("unit/0")
    await admin.go(f"{path}/owner-data")
    await admin.page.get_by_label("juju").fill("")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator("#vm-body")).not_to_contain_text("unit/0")


async def test_a_machine_is_marked_broken_with_the_reason_and_fixed(admin: Visitor) -> None:
    await _open(admin, "web-1")
    await admin.page.get_by_role("button", name="More actions on web-1").click()
    await admin.page.get_by_role("link", name="Mark broken").click()
    await admin.page.fill("#comment", "its disk fails")
    await admin.page.get_by_role("button", name="Mark broken").click()
    await expect(admin.page.locator("#vm-body")).to_contain_text("its disk fails")
    await admin.page.get_by_role("button", name="Mark fixed").click()
    await expect(admin.page.locator("#vm-head")).to_contain_text("ready")


async def test_pinned_cores_lead_to_the_core_map(admin: Visitor) -> None:
    await _open(admin, "db-1")
    await admin.page.get_by_role("link", name="Core map").click()
    await admin.page.wait_for_url("**/hosts/1/resources?vm=db-1")
    await expect(admin.page.locator("tr.is-selected")).to_contain_text("db-1")


async def test_a_failed_compose_explains_each_host_on_its_task(admin: Visitor, fleet: Deployment) -> None:
    await rejection(fleet.post("vm-hosts/", op="compose", cores=99, memory=1024))
    await admin.go("tasks?show=failed")
    await admin.page.get_by_role("link", name="Compose").first.click()
    await expect(admin.page.locator("#rejected-1")).to_contain_text("needs 99 cores")
    await expect(admin.page.locator("#rejected-1")).to_contain_text("birch")
    assert await admin.look("task-rejected", width=320) == []


async def test_the_search_shows_results_as_one_types(admin: Visitor) -> None:
    await admin.go("overview")
    await admin.page.keyboard.press("/")
    async with admin.page.expect_response(lambda one: one.url.endswith("/search?q=db-1")) as answered:
        await admin.page.keyboard.type("db-1", delay=20)
    await (await answered.value).finished()  # a busy machine also searches for the beginning of the name
    await expect(admin.page.locator("#found").get_by_role("link").first).to_contain_text("db-1")
    await admin.page.keyboard.press("Tab")
    await admin.page.keyboard.press("Enter")
    await expect(admin.page.locator("h1")).to_have_text("db-1")


async def test_links_tags_and_devices_of_a_machine_are_shown(admin: Visitor, fleet: Deployment) -> None:
    machine = await fleet.post("machines/", op="allocate", name="web-1")
    path = f"nodes/{machine['system_id']}/interfaces/{machine['interface_set'][0]['id']}/"
    linked = await fleet.post(path, op="link_subnet", mode="STATIC", subnet="10.20.10.0/24", force="true")
    await fleet.post(path, op="add_tag", tag="uplink")
    await fleet.post(f"machines/{machine['system_id']}/", op="set_workload_annotations", team="blue")
    await fleet.post("devices/", hostname="box-1", mac_addresses="52:54:00:00:aa:01", parent=machine["system_id"])
    await _open(admin, "web-1")
    nics = admin.page.get_by_role("region", name="Network interfaces, table")
    await expect(nics).to_contain_text(
        re.compile(r"uplink.*" + linked["links"][0]["ip_address"] + r".*static", re.DOTALL)
    )
    await expect(admin.page.get_by_role("region", name="Workload annotations")).to_contain_text("blue")
    await admin.page.get_by_role("link", name="Network 1").click()
    devices = admin.page.get_by_role("region", name="Devices, table")
    await expect(devices).to_contain_text(re.compile(r"box-1\s*eth0\s*unconfigured"))
    assert await admin.look("vm-devices", width=320) == []
