"""Settings in a browser: users, roles, racks, zones, discrepancies, audit, and what other users see of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.support.fleet import PASSWORD
from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import own

ADMIN_ONLY = (
    "users",
    "roles",
    "audit",
    "audit/export",
    "audit/redact",
    "discrepancies",
    "racks/token",
    "new-user",
    "new-quota",
)


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def press(page: Page, name: str) -> None:
    async with page.expect_navigation():
        await page.locator("main").get_by_role("button", name=name, exact=True).click()


@pytest.mark.first_tier
async def test_a_user_is_added_given_a_role_and_deleted(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("settings/new-user")
    await page.fill("#username", "ann")
    await page.fill("#password", "ann")
    admin.expected_statuses.add(422)
    await press(page, "Add user")
    assert "at least 12" in await page.inner_text("#password-error")
    assert await page.input_value("#username") == "ann"
    await page.fill("#password", PASSWORD)
    await press(page, "Add user")
    await page.get_by_role("link", name="Change roles").click()
    await page.locator("form.ik-card #pool").select_option("default")
    await page.locator("form.ik-card #role").select_option("viewer")
    await press(page, "Grant role")
    assert [(one["user"], one["role"]) for one in await fleet.get("resourcepools/?op=grants")] == [("ann", "viewer")]
    (web,) = [one["system_id"] for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await own(fleet, web, "ann")
    await admin.go("settings/users/ann/delete")
    assert "machine web-1" in await page.inner_text("#question")
    assert await admin.look("user-delete", width=320) == []
    await page.locator("#transfer_resources_to").select_option("mira")
    await press(page, "Show what happens")
    assert "mira gets 1 machine" in await page.inner_text("#question")
    assert await admin.look("user-delete-plan", width=320) == []
    await page.fill("#typed", "ann")
    await press(page, "Delete user")
    assert "ann" not in await page.inner_text("#users")


async def test_the_second_of_two_people_sees_both_values(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("users/", username="ann", password=PASSWORD, email="old@example.net")
    await admin.go("settings/users/ann")
    await fleet.put("users/ann/", email="theirs@example.net")
    await admin.page.fill("#email", "ours@example.net")
    admin.expected_statuses.add(409)
    await press(admin.page, "Save")
    shown = await admin.page.inner_text("#conflicts")
    assert "theirs@example.net" in shown
    assert "ours@example.net" in shown
    assert (await fleet.get("users/ann/"))["email"] == "theirs@example.net"
    await press(admin.page, "Save")
    assert (await fleet.get("users/ann/"))["email"] == "ours@example.net"


async def test_a_zone_is_deleted_when_its_hosts_have_another(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("zones/add")
    await page.fill("#name", "east")
    await press(page, "Add zone")
    await fleet.put("vm-hosts/2/", zone="east")
    await page.get_by_role("link", name="Delete east").click()
    await expect(page.locator("main")).to_contain_text("Not possible yet")
    await page.select_option("#move_to", "default")
    await press(page, "Show what happens")
    await expect(page.locator(".ik-plan")).to_contain_text("east")
    await page.fill("#typed", "east")
    await press(page, "Delete zone")
    assert (await fleet.get("vm-hosts/2/"))["zone"]["name"] == "default"


async def test_a_rack_is_added_by_token_and_removed_by_name(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("settings/racks/token")
    await page.get_by_label("default").check()
    admin.expected_statuses.add(422)
    await press(page, "Create token")
    await expect(page.locator("#zones")).to_contain_text("Zones are ticked")
    await page.get_by_label("Only these").check()
    await press(page, "Create token")
    assert await page.inner_text("#join") == "sudo rackd join -", "a token in a command is in its shell's history"
    assert (await page.inner_text("#token")).startswith("innkeeper-join-")
    await admin.go("settings/racks")
    await page.locator("#racks tbody th a").first.click()
    await page.get_by_label("Only these").check()
    await page.get_by_label("default").check()
    await press(page, "Save zones")
    assert (await fleet.get("racks/"))[0]["zones"] == ["default"]
    await page.get_by_role("link", name="Remove rack").click()
    await page.fill("#typed", "other")
    await expect(page.get_by_role("button", name="Remove rack")).to_be_disabled()
    await page.fill("#typed", (await fleet.get("racks/"))[0]["name"])
    await press(page, "Remove rack")
    await expect(page.locator("#rack")).to_contain_text("Credentials that it had")
    assert await admin.look("rack-removed", width=320) == []


async def test_the_list_of_racks_is_live(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("settings/racks")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    (rack,) = await fleet.get("racks/")
    await fleet.send("DELETE", f"racks/{rack['id']}/")
    await expect(admin.page.locator("#racks")).to_contain_text("No racks yet")


async def test_a_discrepancy_is_repaired_as_it_was_shown(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    rows(fleet, "delete from disk", name="birch")
    rows(fleet, "delete from guest", name="birch")
    await fleet.compose(fleet.hosts["birch"], hostname="gone-1", memory=1024)
    rows(fleet, "delete from disk", name="birch")
    rows(fleet, "delete from guest", name="birch")
    await refresh(fleet, await fleet.get("vm-hosts/2/"))
    await admin.go("settings/discrepancies")
    assert await admin.look("discrepancies", width=320) == []
    await page.get_by_role("link", name="gone-1").click()
    assert await admin.look("discrepancy", width=1400) == []
    await page.locator("#typed").press_sequentially("gone-1")
    await press(page, "Approve repair")
    await expect(page.locator("main")).to_contain_text("Repaired")


async def test_the_audit_trail_is_filtered_verified_and_exported(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("settings/audit")
    await page.fill("#action", "session.log_in")
    await press(page, "Filter")
    assert await page.locator("#audit tbody tr").count() == 1
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export").click()
    lines = read_lines(await (await downloading.value).path())
    assert json.loads(lines[0])["id"] == 1
    await page.get_by_role("link", name="Verify").click()
    await expect(page.locator("main")).to_contain_text("The trail is complete")


async def test_a_value_in_the_audit_trail_is_redacted(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.post("zones/", name="hunter2")
    await admin.go("settings/audit?action=Zones.create")
    await page.locator("#audit details summary").first.click()
    await page.locator("#audit tbody").get_by_role("link", name="Redact").first.click()
    await page.get_by_label("name: hunter2").check()
    await page.get_by_label("Reason").fill("a password was typed as a name")
    for width in (1400, 320):
        assert await admin.look("redact-request", width=width, dark=width == 320, reload=False) == []
    await press(page, "Redact")
    await expect(page.locator("#audit tbody")).to_contain_text("audit.redact")
    await admin.go("settings/audit?action=Zones.create")
    await expect(page.locator("#audit tbody")).to_contain_text("redacted by #")
    await expect(page.locator("#audit tbody")).not_to_contain_text("hunter2")


async def test_a_user_is_offered_nothing_of_administrators(chromium: Browser, fleet: Deployment) -> None:
    await fleet.post("users/", username="ann", password=PASSWORD)
    ann = await visitor(chromium, fleet, "ann")
    await ann.log_in()
    await ann.go("settings")
    assert await ann.page.locator(".ik-areas a").all_inner_texts() == [
        "Racks and regions",
        "Quotas",
        "Images",
        "Exports",
        "MAAS servers",
        "Tags",
        "Events",
        "About",
    ]
    for path in ("settings/racks", "settings/quotas", "pools", "account", "help", "about"):
        await ann.go(path)
        assert await ann.page.locator("main").get_by_role("link", name="Add").count() == 0
        assert await ann.look(f"user-{path.replace('/', '-')}", width=320) == []
    for path in ADMIN_ONLY:
        await ann.go(f"settings/{path}", status=403)
    assert ann.complaints == []
    await ann.leave()
