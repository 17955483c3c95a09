"""Open pages show what changes, without a reload and without disturbing their user."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from regiond.ui.serving import stream
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

_WATCH = """() => {
  window.wasUndone = false;
  const look = () => { window.wasUndone ||= document.getElementById("vms").textContent.includes("db-1"); };
  const changes = { childList: true, subtree: true, characterData: true };
  new MutationObserver(look).observe(document.getElementById("main"), changes);
}"""


@pytest.mark.first_tier
async def test_a_new_machine_appears_in_open_lists(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#vms")).to_contain_text("late-1")
    await expect(admin.page.locator("#nav")).to_contain_text("3")


async def test_a_machine_that_is_started_elsewhere_appears_so(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/vms")
    row = admin.page.locator("tr", has_text="web-1")
    await expect(row).to_contain_text("Off")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await expect(row).to_contain_text("Running")


async def test_a_search_and_its_focus_outlive_a_refresh(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    await admin.page.locator("#q").press_sequentially("web", delay=20)
    await expect(admin.page.locator("#vms")).not_to_contain_text("db-1")
    await fleet.compose(fleet.hosts["birch"], hostname="web-2", memory=1024)
    await fleet.compose(fleet.hosts["birch"], hostname="other-1", memory=1024)
    await expect(admin.page.locator("#vms")).to_contain_text("web-2")
    await expect(admin.page.locator("#vms")).not_to_contain_text("other-1")
    await expect(admin.page.locator("#q")).to_be_focused()
    assert await admin.page.input_value("#q") == "web"


async def test_updates_can_be_paused(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms")
    await admin.page.get_by_role("button", name="Pause updates").click()
    await fleet.compose(fleet.hosts["birch"], hostname="unseen-1", memory=1024)
    await expect(admin.page.locator("#live-state")).to_contain_text("Paused")
    await expect(admin.page.locator("#vms")).not_to_contain_text("unseen-1")
    await admin.page.get_by_role("button", name="Resume updates").click()
    await expect(admin.page.locator("#vms")).to_contain_text("unseen-1")


async def test_the_session_of_a_page_that_refreshes_itself_idles(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("vms")
    before = await fleet.fetch("select last_seen_at from web_session")
    await fleet.fetch("update web_session set last_seen_at = last_seen_at - interval '10 minutes' returning id")
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#vms")).to_contain_text("late-1")
    after = await fleet.fetch("select last_seen_at from web_session")
    assert after[0]["last_seen_at"] < before[0]["last_seen_at"]


async def test_the_page_of_an_error_is_live_too(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/9999/vms", status=404)
    before = await admin.page.locator("#nav").inner_text()
    await fleet.compose(fleet.hosts["alder"], hostname="seen-from-afar", memory=1024)
    await expect(admin.page.locator("#nav")).not_to_have_text(before)
    await expect(admin.page.locator("#live-state")).to_have_text("Live")


async def test_a_page_says_that_what_it_shows_is_no_longer_there(admin: Visitor, fleet: Deployment) -> None:
    made = await fleet.post("subnets/", cidr="10.99.0.0/24")
    await admin.go(f"networks/subnets/{made['id']}")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    admin.expected_statuses.add(404)
    await fleet.send("DELETE", f"subnets/{made['id']}/")
    await expect(admin.page.locator("#live-state")).to_have_text("This is no longer there")


async def test_a_change_leaves_the_other_rows_as_they_are(admin: Visitor, fleet: Deployment) -> None:
    """Of 200 rows only the one that changed is made anew, and ticks, also of that one, stay."""
    await admin.go("vms")
    await expect(admin.page.locator("#live-state")).to_have_text("Live")
    machines = {one["hostname"]: one["system_id"] for one in await fleet.get("machines/")}
    await admin.page.evaluate("for (const row of document.querySelectorAll('#vms tbody tr')) row.seen = true")
    tick = f"#vms input[value='{machines['web-1']}']"
    await admin.page.check(tick)
    await fleet.post(f"machines/{machines['web-1']}/", op="power_on")
    await expect(admin.page.locator(f"#vm-{machines['web-1']}")).to_contain_text("Running")
    assert await admin.page.evaluate(f"document.getElementById('vm-{machines['db-1']}').seen") is True
    assert await admin.page.is_checked(tick)
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#vms")).to_contain_text("late-1")
    assert await admin.page.is_checked(tick)


async def test_a_page_too_many_says_so_and_becomes_live_later(
    admin: Visitor, fleet: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_PER_ACCOUNT", 0)
    admin.expected_statuses.add(429)
    await admin.go("vms")
    await expect(admin.page.locator("#live-state")).to_contain_text("Not live since")
    await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(admin.page.locator("#vms")).to_contain_text("late-1")
    monkeypatch.undo()
    await expect(admin.page.locator("#live-state")).to_have_text("Live", timeout=20_000)


async def test_a_page_is_live_again_after_one_failed_refresh(admin: Visitor, fleet: Deployment) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=500)

    page = admin.page
    await admin.go("vms")
    await expect(page.locator("#live-state")).to_have_text("Live")
    admin.expected_statuses.add(500)
    await page.route("**/ui/vms", fail, times=1)
    async with page.expect_response(lambda answer: answer.status == 500):
        await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
    await expect(page.locator("#vms")).to_contain_text("late-1")
    await expect(page.locator("#live-state")).to_have_text("Live")


async def test_updates_wait_for_an_open_menu_and_are_then_shown(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    await admin.go(f"vms/{machine['system_id']}")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await page.get_by_role("button", name="More actions on web-1").click()
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    await expect(page.locator("#live-state")).to_have_text("Live, updates are waiting")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="Stop", exact=True)).to_be_visible()
    await expect(page.locator("#live-state")).to_have_text("Live")


async def test_a_search_is_not_undone_by_an_older_refresh(admin: Visitor, fleet: Deployment) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        begun.set()
        await released.wait()
        await route.continue_()

    page = admin.page
    await admin.go("vms")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await page.route("**/ui/vms", hold)
    await fleet.compose(fleet.hosts["birch"], hostname="web-2", memory=1024)
    await begun.wait()
    await page.fill("#q", "name:web")
    await expect(page.locator("#vms")).not_to_contain_text("db-1")
    await page.evaluate(_WATCH)
    async with page.expect_response(lambda answer: "q=name" in answer.url and "x-live" in answer.request.headers):
        released.set()
    await expect(page.locator("#vms")).to_contain_text("web-2")
    assert await page.evaluate("wasUndone") is False


async def test_a_skip_link_does_not_discard_a_refresh(admin: Visitor, fleet: Deployment) -> None:
    begun, released, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer_only_the_first(route: Route) -> None:
        until = ended if begun.is_set() else released
        begun.set()
        await until.wait()
        await route.continue_()

    page = admin.page
    await admin.go("vms")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await page.route("**/ui/vms", answer_only_the_first)
    await fleet.compose(fleet.hosts["birch"], hostname="web-2", memory=1024)
    await begun.wait()
    await page.locator("a[href='#main']").press("Enter")
    await page.wait_for_url("**/ui/vms#main")
    released.set()
    try:
        await expect(page.locator("#vms")).to_contain_text("web-2", timeout=10_000)
    finally:
        ended.set()
