"""Login and logout in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql


@pytest.mark.first_tier
async def test_a_stranger_is_led_to_the_login_and_back(chromium: Browser, fleet: Deployment) -> None:
    stranger = await visitor(chromium, fleet, "mira")
    await stranger.page.goto(f"{stranger.origin}/MAAS/ui/vms?q=db")
    assert "/MAAS/ui/login" in stranger.page.url
    assert await stranger.look("login", width=320) == []
    await stranger.page.fill("#username", "mira")
    await stranger.page.fill("#password", "wrong")
    stranger.expected_statuses.add(401)
    await stranger.page.click("button[type=submit]")
    assert "Wrong user name or password" in await stranger.page.inner_text("#password-error")
    assert await stranger.page.input_value("#username") == "mira"
    await stranger.page.fill("#password", "vault-orbit-kettle-91")
    await stranger.page.click("button[type=submit]")
    await stranger.page.wait_for_url("**/MAAS/ui/vms?q=db")
    assert stranger.complaints == []
    await stranger.leave()


async def test_logout_ends_the_session_everywhere(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts")
    await admin.page.get_by_role("button", name="Log out mira").click()
    await admin.page.wait_for_url("**/login")
    assert await sql(fleet, "select id from web_session") == []
    await admin.page.goto(f"{admin.origin}/MAAS/ui/hosts")
    assert "/MAAS/ui/login" in admin.page.url


async def test_logins_are_in_the_audit_trail(admin: Visitor, fleet: Deployment) -> None:
    answer = await fleet.send("GET", "audit/", query=[("action", "session.log_in")])
    assert [(one["username"], one["result"]) for one in answer.json()] == [("mira", "ok")]


async def test_a_form_without_the_token_of_the_session_changes_nothing(admin: Visitor) -> None:
    await admin.go("hosts/1/vms")
    admin.expected_statuses.add(403)
    await admin.page.evaluate(  # as no script of ours sends it
        "form = document.querySelector('form[action$=\"/refresh\"]'); form.elements.csrf.value = 'other'; form.submit()"
    )
    await expect(admin.page.locator("main")).to_contain_text("was not sent by a page of your session")
