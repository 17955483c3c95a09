"""Every page: accessible, in the window's width, without a complaint of the browser, in light and dark."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor

PAGES = (
    "overview", "attention", "hosts", "hosts?group=zone", "hosts?q=nothing-has-this-name", "hosts/1/vms",
    "hosts/1/resources?vm=db-1", "hosts/1/tasks", "hosts/2/resources", "vms", "vms?q=db", "vms?show=attention",
    "tasks", "tasks/1",
)  # fmt: skip
SETTINGS = (
    "settings", "settings/racks", "settings/racks/token", "settings/users", "settings/new-user", "settings/users/mira",
    "settings/users/mira/delete", "settings/roles", "settings/quotas", "settings/new-quota", "settings/audit",
    "settings/audit/verify", "settings/audit/redact", "settings/audit/redact?entry=1", "settings/discrepancies",
    "settings/images",
)  # fmt: skip
ACCOUNT_AND_POOLS = (
    "pools", "pools/add", "pools/0", "zones/1", "account", "account/keys", "account/ssh-keys", "account/sessions",
    "account/clients", "account/filters", "account/filters/add", "about", "help",
)  # fmt: skip


@pytest.mark.parametrize("paths", [PAGES, SETTINGS, ACCOUNT_AND_POOLS], ids=["fleet", "settings", "account"])
async def test_every_page_is_accessible_at_each_width(admin: Visitor, paths: tuple[str, ...]) -> None:
    assert await admin.problems_of(paths) == {}


@pytest.mark.first_tier
async def test_the_pages_of_a_machine_are_accessible(admin: Visitor) -> None:
    await admin.go("vms")
    await admin.page.get_by_role("link", name="db-1", exact=True).click()
    await expect(admin.page.locator("h1")).to_have_text("db-1")
    for width in (1400, 320):
        assert await admin.look("vm-db-1", width=width) == []
    await admin.page.get_by_role("button", name="More actions on db-1").click()
    await admin.page.get_by_role("link", name="Delete", exact=True).click()
    await expect(admin.page.get_by_role("dialog")).to_be_visible()
    for width in (320, 1400):
        assert await admin.look("vm-Delete", width=width, reload=False) == []


@pytest.mark.first_tier
async def test_an_unknown_page_says_so_in_the_frame(admin: Visitor) -> None:
    await admin.go("no/such/page", status=404)
    assert "There is no page at" in await admin.page.inner_text("main")
    await admin.go("vms/nosuch", status=404)
    assert "There is no machine 'nosuch'" in await admin.page.inner_text("main")
