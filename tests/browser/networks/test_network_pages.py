"""Networks in the browser: created, edited, refused and deleted."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

PAGES = (
    "networks", "networks/subnets/1", "networks/subnets/add", "networks/vlans/add", "networks/ranges/add",
    "networks/fabrics/0/edit", "networks/subnets/1/delete",
)  # fmt: skip


async def test_the_pages_of_networks_are_accessible(admin: Visitor) -> None:
    assert await admin.problems_of(PAGES) == {}


@pytest.mark.first_tier
async def test_a_subnet_in_a_new_vlan_of_a_space(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("networks/spaces/add")
    await admin.page.fill("#name", "lab")
    await admin.page.get_by_role("button", name="Add space").click()
    await admin.page.wait_for_url("**/networks")
    await admin.go("networks/vlans/add")
    await admin.page.fill("#vid", "77")
    await admin.page.select_option("#space", "lab")
    await admin.page.get_by_role("button", name="Add VLAN").click()
    await admin.page.wait_for_url("**/networks")
    await admin.page.get_by_role("row", name="tag 77").get_by_role("link", name="Add subnet").click()
    await admin.page.fill("#cidr", "10.77.0.0/24")
    await admin.page.get_by_role("button", name="Add subnet").click()
    await expect(admin.page.locator("h1")).to_have_text("10.77.0.0/24")
    await expect(admin.page.locator(".ik-factline")).to_contain_text("lab")
    await admin.page.get_by_role("link", name="Delete").click()
    await admin.page.get_by_role("button", name="Delete subnet").click()
    await admin.page.wait_for_url("**/networks")
    assert "10.77.0.0/24" not in [one["cidr"] for one in await fleet.get("subnets/")]


async def test_a_range_that_ends_before_it_begins_is_refused(admin: Visitor) -> None:
    await admin.go("networks/subnets/1")
    await admin.page.get_by_role("link", name="Add range").click()
    await admin.page.fill("#start_ip", "10.20.10.9")
    await admin.page.fill("#end_ip", "10.20.10.2")
    admin.expected_statuses.add(422)
    await admin.page.get_by_role("button", name="Add IP range").click()
    await expect(admin.page.locator("#end_ip-error")).to_contain_text("is before")
    await expect(admin.page.locator("#problems a")).to_have_text("Last address")
    await admin.page.fill("#end_ip", "10.20.10.20")
    await admin.page.get_by_role("button", name="Add IP range").click()
    await expect(admin.page.locator("main")).to_contain_text("10.20.10.9–10.20.10.20")


async def test_an_address_is_reserved_and_released(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("networks")
    await page.get_by_role("link", name="10.20.10.0/24", exact=True).click()
    admin.expected_statuses.add(422)
    await page.fill("#start_ip", "10.99.0.1")
    await page.get_by_role("button", name="Reserve address").click()
    await expect(page.locator("#start_ip-error")).to_contain_text("10.20.10.0/24")
    await page.fill("#start_ip", "10.20.10.50")
    await page.fill("#comment", "the printer")
    await page.get_by_role("button", name="Reserve address").click()
    await expect(page.locator("#ranges-scroll")).to_contain_text("the printer")
    await expect(page.locator("section[aria-labelledby=s-free]")).to_contain_text("–10.20.10.49")
    (made,) = await fleet.get("ipranges/")
    assert (made["start_ip"], made["end_ip"], made["type"]) == ("10.20.10.50", "10.20.10.50", "reserved")
    await page.get_by_role("link", name="Delete range 10.20.10.50").click()
    await page.get_by_role("button", name="Delete IP range").click()
    await page.wait_for_url("**/networks")
    assert await fleet.get("ipranges/") == []


async def test_what_cannot_be_deleted_says_why(admin: Visitor) -> None:
    await admin.go("networks/fabrics/0/delete")
    await expect(admin.page.locator("main")).to_contain_text("Not possible")
