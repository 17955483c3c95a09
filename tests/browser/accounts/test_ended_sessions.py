"""Pages whose session has ended keep what was typed, and continue after a login on the page itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect

from tests.browser.support.fleet import PASSWORD

if TYPE_CHECKING:
    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

END = "delete from web_session returning id"
AGE = "update web_session set idle_ends_at = now() - interval '1 second' returning id"


async def log_in(page: Page, password: str = PASSWORD, *, username: str | None = None) -> None:
    """In the dialog of the page."""
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    if username is not None:
        await dialog.get_by_label("User name").fill(username)
    await dialog.get_by_label("Password").fill(password)
    await dialog.get_by_label("Password").press("Enter")


async def add_ann(fleet: Deployment) -> None:
    await fleet.post("users/", username="ann", password=PASSWORD, is_superuser="true")


@pytest.mark.first_tier
async def test_a_preview_continues_after_a_login_on_the_page(admin: Visitor, fleet: Deployment) -> None:
    """Nothing takes the keys that are typed: the dialog opens on request."""
    page = admin.page
    await admin.go("compose?host=birch")
    async with page.expect_response("**/compose/preview"):
        await page.fill("#hostname", "kept-1")
    admin.expected_statuses.add(401)
    await fleet.fetch(AGE)
    await page.fill("#memory", "2048")
    notice = page.locator("#toast-session")
    await expect(notice).to_contain_text("Your session has ended")
    await expect(page.locator("#memory")).to_be_focused()
    await notice.get_by_role("button", name="Log in").click()
    assert await admin.violations() == []
    await log_in(page, "wrong")
    await expect(page.get_by_role("dialog")).to_contain_text("Wrong user name or password")
    async with page.expect_response("**/compose/preview") as answered:
        await log_in(page)
    assert (await answered.value).status == 200
    await expect(notice).to_have_count(0)
    assert await page.input_value("#hostname") == "kept-1"
    await page.locator("button.p-button--positive[value=compose]").click()
    await expect(page.locator("h1")).to_have_text("kept-1")
    await expect(page.locator("#note")).to_contain_text("succeeded")


@pytest.mark.parametrize("end", [END, AGE], ids=["by an administrator", "by time"])
async def test_a_form_is_sent_after_a_login_on_the_page(admin: Visitor, fleet: Deployment, end: str) -> None:
    page = admin.page
    await admin.go("hosts/2/settings")
    await page.fill("#tags", "kept")
    admin.expected_statuses.add(401)
    await fleet.fetch(end)
    await page.get_by_role("button", name="Save").click()
    await log_in(page)
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert "kept" in (await fleet.get("vm-hosts/2/"))["tags"]


async def test_a_login_that_is_cancelled_sends_nothing(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("zones/add")
    await page.fill("#name", "east")
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.get_by_role("button", name="Add zone").click()
    await page.get_by_role("button", name="Cancel", exact=True).last.click()
    await expect(page.locator("#toast-session")).to_contain_text("What you typed is kept")
    assert await page.input_value("#name") == "east"
    await page.get_by_role("button", name="Add zone").click()
    await log_in(page)
    await page.wait_for_url("**/pools")
    assert [zone["name"] for zone in await fleet.get("zones/")].count("east") == 1


async def test_a_login_in_another_tab_serves_the_form_too(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("compose?host=birch")
    async with page.expect_response("**/compose/preview"):
        await page.fill("#hostname", "kept-1")
    admin.expected_statuses |= {401, 403}  # a refresh meanwhile; the preview with the token of the first session, once
    other = await admin.context.new_page()
    await other.goto(f"{admin.origin}/MAAS/ui/hosts")
    await other.get_by_role("button", name="Log out mira").click()
    await other.wait_for_url("**/login")
    await other.fill("#username", "mira")
    await other.fill("#password", PASSWORD)
    await other.get_by_role("button", name="Log in").click()
    await expect(other.locator("h1")).to_have_text("Overview")
    async with page.expect_response(lambda answer: answer.url.endswith("/preview") and answer.status == 200):
        await page.fill("#memory", "1024")
    assert await page.input_value("#hostname") == "kept-1"
    await page.locator("button.p-button--positive[value=compose]").click()
    await expect(page.locator("h1")).to_have_text("kept-1")


async def test_a_page_never_acts_as_another_user(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await add_ann(fleet)
    await admin.go("zones/add")
    await page.fill("#name", "east")
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.get_by_role("button", name="Add zone").click()
    await expect(page.get_by_role("dialog")).to_contain_text("unless you log in as another user than mira")
    async with page.expect_navigation():
        await log_in(page, username="ann")
    await expect(page.locator(".ik-account")).to_contain_text("ann")
    assert await page.input_value("#name") == ""
    assert "east" not in [zone["name"] for zone in await fleet.get("zones/")]


async def test_a_form_is_not_sent_as_who_logged_in_elsewhere(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await add_ann(fleet)
    await admin.go("zones/add")
    await page.fill("#name", "east")
    await admin.context.request.post(
        f"{admin.origin}/MAAS/ui/login", form={"username": "ann", "password": PASSWORD}, max_redirects=0
    )
    await page.get_by_role("button", name="Add zone").click()
    notice = page.locator("#toast-session")
    await expect(notice).to_contain_text("You are now logged in as ann")
    assert await page.input_value("#name") == "east"
    await notice.get_by_role("button", name="Load the page again").click()
    await expect(page.locator(".ik-account")).to_contain_text("ann")
    assert "east" not in [zone["name"] for zone in await fleet.get("zones/")]


async def test_a_page_that_nobody_used_leads_to_the_login(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms?q=web")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await fleet.compose(fleet.hosts["birch"], hostname="web-2", memory=1024)
    await admin.page.wait_for_url("**/login?next=*")
    await admin.page.fill("#username", "mira")
    await admin.page.fill("#password", PASSWORD)
    await admin.page.get_by_role("button", name="Log in").click()
    await admin.page.wait_for_url("**/vms?q=web")


async def end_under(admin: Visitor, fleet: Deployment) -> None:
    """Ends the session of a page with typed text, which a refresh notices."""
    await admin.go("zones/add")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await admin.page.fill("#name", "east")
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#toast-session")).to_contain_text("Your session has ended")


async def test_a_page_asks_for_nothing_until_the_login(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await page.clock.install()
    await end_under(admin, fleet)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(5):
        await page.clock.run_for(60_000)
    assert asked == []
    await page.locator("#toast-session").get_by_role("button", name="Log in").click()
    await log_in(page)
    await expect(page.locator("#live-state")).to_have_text("Live")
    assert await page.input_value("#name") == "east"


async def test_a_console_log_asks_for_nothing_until_the_login(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await fleet.fetch("update machine set state = 'deploying' where hostname = 'web-1' returning id")
    await page.clock.install()
    await admin.go(f"vms/{machine['system_id']}/console")
    await expect(page.locator("#console-log[hx-trigger]")).to_be_visible()
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.clock.run_for(5_000)
    notice = page.locator("#toast-session")
    await expect(notice).to_contain_text("Your session has ended")
    await notice.get_by_role("button", name="Close this message").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.run_for(60_000)
    assert asked == []
    await expect(notice).to_have_count(0)
    await admin.enter()
    await page.evaluate("dispatchEvent(new Event('focus'))")
    async with page.expect_response(lambda answer: answer.url.endswith("/console/log") and answer.status == 200):
        await page.clock.run_for(5_000)


async def test_a_page_is_live_again_after_a_login_in_another_tab(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await end_under(admin, fleet)
    await admin.enter()
    await page.evaluate("dispatchEvent(new Event('focus'))")  # every page of a headless browser has the focus
    await expect(page.locator("#live-state")).to_have_text("Live")
    await expect(page.locator("#toast-session")).to_have_count(0)
    assert await page.input_value("#name") == "east"


async def test_a_question_asks_for_the_login_on_the_page(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("hosts/1/settings")
    await page.fill("#tags", "kept")
    admin.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.get_by_role("link", name="Close for placement").click()
    await log_in(page)
    await page.get_by_role("dialog").get_by_label("Reason").fill("new disks")
    assert await page.input_value("#tags") == "kept"
    await fleet.fetch(END)
    await page.get_by_role("dialog").get_by_role("button", name="Close for placement").click()
    login = page.locator(".ik-dialog--login")
    await login.get_by_label("Password").fill(PASSWORD)
    await login.get_by_label("Password").press("Enter")
    await expect(page.locator("#note")).to_contain_text("alder is closed for placement")
    assert (await fleet.get("vm-hosts/1/"))["maintenance"]["reason"] == "new disks"


async def test_without_scripts_a_form_is_offered_after_the_login(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await plain.go("zones/add")
    await page.fill("#name", "east")
    await page.fill("#description", "with <b>markup</b> & umlauts: ä")
    plain.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.get_by_role("button", name="Add zone").click()
    await expect(page.locator("main")).to_contain_text("What you sent is kept")
    for password in ("wrong", PASSWORD):
        await page.fill("#username", "mira")
        await page.fill("#password", password)
        await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("main")).to_contain_text("You are logged in as mira")
    await expect(page.locator("main")).to_contain_text("with <b>markup</b> & umlauts: ä")
    await page.get_by_role("button", name="Send it again").click()
    await page.wait_for_url("**/pools")
    (made,) = [zone for zone in await fleet.get("zones/") if zone["name"] == "east"]
    assert made["description"] == "with <b>markup</b> & umlauts: ä"


async def test_without_scripts_a_form_is_offered_to_its_user_only(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await add_ann(fleet)
    await plain.go("zones/add")
    await page.fill("#name", "east")
    plain.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.get_by_role("button", name="Add zone").click()
    await expect(page.locator("main")).to_contain_text("What you sent is kept")
    await page.fill("#username", "ann")
    await page.fill("#password", PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/zones/add")
    await expect(page.locator(".ik-account")).to_contain_text("ann")
    assert "east" not in await page.content()


async def test_without_scripts_a_secret_is_in_no_page(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    await plain.go("settings/new-user")
    await page.fill("#username", "ann")
    for field in await page.locator("input[type=password]").all():
        await field.fill("vault-orbit-92")
    plain.expected_statuses.add(401)
    await fleet.fetch(END)
    await page.locator("main form button[type=submit]").click()
    await expect(page.locator("main")).to_contain_text("has to be typed again")
    assert "vault-orbit-92" not in await page.content()
    await page.fill("#username", "mira")
    await page.fill("#password", PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url("**/settings/new-user")
