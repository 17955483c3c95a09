"""One's own account in a browser: keys that are shown once, sessions, and the password."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from innkeeper.http import Api
from tests.browser.accounts.test_settings_pages import press
from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHR5k0yZ3p1dO1lGmvq7dTzqkG1v0cV2b9m4tqH9bW1r mira@laptop"


@pytest.mark.first_tier
async def test_a_new_api_key_works_and_is_shown_once(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("account/keys")
    await page.fill("#name", "pipeline")
    await press(page, "Create API key")
    key = (await page.inner_text("#key")).strip()
    assert (await Api(fleet.api.url, key).send("GET", "users/", query=[("op", "whoami")])).json()["username"] == "mira"
    await admin.go("account/keys")
    assert key.rpartition(":")[2] not in await page.content()
    await page.get_by_role("link", name="Rename pipeline").click()
    await page.fill("#name", "nightly")
    await press(page, "Save")
    await page.get_by_role("link", name="Delete nightly").click()
    await press(page, "Delete API key")
    await expect(page.locator("main")).to_contain_text("No API keys")


async def test_ssh_keys_and_rpc_clients_come_and_go(admin: Visitor) -> None:
    page = admin.page
    await admin.go("account/ssh-keys")
    await page.fill("#key", "nonsense")
    admin.expected_statuses.add(422)
    await press(page, "Add SSH key")
    assert await page.input_value("#key") == "nonsense"
    await page.fill("#key", SSH_KEY)
    await press(page, "Add SSH key")
    await page.get_by_role("link", name="Delete").click()
    await press(page, "Delete SSH key")
    await expect(page.locator("main")).to_contain_text("No SSH keys")
    await admin.go("account/clients")
    await page.fill("#name", "backup")
    await press(page, "Issue certificate")
    assert (await page.inner_text("#pem-key")).startswith("-----BEGIN PRIVATE KEY-----")
    await admin.go("account/clients")
    await page.get_by_role("link", name="Revoke backup").click()
    await press(page, "Revoke RPC client")
    await expect(page.locator("main")).to_contain_text("No RPC clients")


async def test_another_session_is_ended_by_its_user(admin: Visitor, chromium: Browser, fleet: Deployment) -> None:
    other = await visitor(chromium, fleet, "mira")
    await other.enter()
    await admin.go("account/sessions")
    row = admin.page.locator("main tbody tr").filter(has_not_text="this one")
    await expect(row).to_contain_text("Chrome on Linux")
    await row.get_by_role("link", name="End the session").click()
    await expect(admin.page.get_by_role("dialog")).to_contain_text("logged out at once")
    await admin.page.get_by_role("button", name="End session").click()
    await expect(admin.page.locator("#note")).to_contain_text("The session of Chrome on Linux has ended")
    await other.page.goto(f"{other.origin}/MAAS/ui/hosts")
    assert "/MAAS/ui/login" in other.page.url
    await other.leave()


async def test_a_new_password_ends_all_sessions(admin: Visitor) -> None:
    page = admin.page
    await admin.go("account")
    new = "another-orbit-kettle-92"
    for name, text in (("current_password", "wrong"), ("password", new), ("repeated", new)):
        await page.fill(f"#{name}", text)
    admin.expected_statuses.add(422)
    await press(page, "Change password")
    assert "not your password" in await page.inner_text("#current_password-error")
    for name, text in (("current_password", "vault-orbit-kettle-91"), ("password", new), ("repeated", new)):
        await page.fill(f"#{name}", text)
    await press(page, "Change password")
    assert "/MAAS/ui/login" in page.url
    await admin.log_in(password=new)
    assert "/MAAS/ui/overview" in page.url
