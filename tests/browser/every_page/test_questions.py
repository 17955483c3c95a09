"""What interrupts a guest or cannot be undone asks first: in a dialog, on a page without scripts, and at the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.support.visitor import Visitor, visitor
from tests.integration.operations.test_abandoned_operations import stuck
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.deployment.deployment import Deployment

LOOKS = ((1400, False), (1400, True), (320, False), (320, True))


async def running(fleet: Deployment, name: str = "web-1") -> str:
    """Starts the VM and returns its system id."""
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == name]
    await fleet.post(f"machines/{machine['system_id']}/", op="power_on")
    return str(machine["system_id"])


async def power_of(fleet: Deployment, system_id: str) -> Any:
    return (await fleet.get(f"machines/{system_id}/"))["power_state"]


@pytest.mark.parametrize("action", ["Stop", "Restart"])
async def test_a_guest_is_interrupted_only_after_a_question(admin: Visitor, fleet: Deployment, action: str) -> None:
    system_id, page = await running(fleet), admin.page
    await admin.go(f"vms/{system_id}")
    await page.get_by_role("link", name=action, exact=True).click()
    dialog = page.get_by_role("dialog", name=f"{action} web-1?")
    await expect(dialog).to_contain_text("on alder, running since")
    await expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    assert await admin.violations() == []
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("link", name=action, exact=True)).to_be_focused()
    assert await power_of(fleet, system_id) == "on"
    assert [task for task in await fleet.get("operations/?state=running") if task["kind"] == "power"] == []
    await page.get_by_role("link", name=action, exact=True).click()
    await dialog.get_by_role("button", name=f"{action} VM").click()
    await expect(page.locator("#note")).to_contain_text(f"{action} web-1")
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert await power_of(fleet, system_id) == ("off" if action == "Stop" else "on")


async def test_a_forced_power_off_takes_the_name(admin: Visitor, fleet: Deployment) -> None:
    system_id, page = await running(fleet), admin.page
    await admin.go(f"vms/{system_id}")
    await page.get_by_role("button", name="More actions on web-1").click()
    await page.get_by_role("link", name="Power off", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("what the guest has not written to its disks is lost")
    await expect(dialog.get_by_label("Type web-1 to confirm")).to_be_focused()
    button = dialog.get_by_role("button", name="Power off VM")
    await page.keyboard.type("web")
    await expect(button).to_be_disabled()
    await dialog.get_by_role("link", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="More actions on web-1")).to_be_focused()
    assert await power_of(fleet, system_id) == "on"
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Power off", exact=True).click()
    await expect(dialog.get_by_label("Type web-1 to confirm")).to_be_focused()
    await page.keyboard.type("web-1")
    await button.click()
    await expect(page.locator("#note")).to_contain_text("succeeded")
    assert await power_of(fleet, system_id) == "off"


async def test_questions_look_well_as_pages_and_as_dialogs(admin: Visitor, fleet: Deployment) -> None:
    system_id = await running(fleet)
    for width, dark in LOOKS:
        await admin.page.set_viewport_size({"width": width, "height": 900})
        await admin.page.emulate_media(color_scheme="dark" if dark else "light")
        for name in ("act?action=off", "act?action=broken", "delete"):
            await admin.go(f"vms/{system_id}/{name}")
            page_name = f"question-{name.rpartition('=')[2]}"
            assert await admin.look(page_name, width=width, dark=dark, reload=False) == []
        await admin.go(f"vms/{system_id}")
        await admin.page.get_by_role("button", name="More actions on web-1").click()
        await admin.page.locator("#act-off").click()
        await expect(admin.page.get_by_role("dialog")).to_be_visible()
        assert await admin.look("question-dialog", width=width, dark=dark, reload=False) == []


async def test_without_scripts_the_question_is_a_page(chromium: Browser, fleet: Deployment) -> None:
    system_id = await running(fleet)
    plain = await visitor(chromium, fleet, "mira", scripts=False)
    await plain.enter()
    page = plain.page
    await plain.go(f"vms/{system_id}")
    await page.get_by_role("button", name="More actions on web-1").click()
    await page.get_by_role("link", name="Power off", exact=True).click()
    await expect(page.locator("h1")).to_have_text("Power off web-1?")
    plain.expected_statuses.add(422)
    await page.get_by_role("button", name="Power off VM").click()
    await expect(page.locator("#typed-error")).to_contain_text("Type web-1 to confirm.")
    assert await power_of(fleet, system_id) == "on"
    await page.fill("#typed", "web-1")
    await page.get_by_role("button", name="Power off VM").click()
    await expect(page.locator("#note")).to_contain_text("Power off web-1")

    async def is_off() -> bool:
        return bool(await power_of(fleet, system_id) == "off")

    await eventually(is_off)
    assert plain.complaints == []
    await plain.leave()


async def test_adopting_all_lists_them_and_asks(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/add?step=check&host=1")
    await admin.page.get_by_role("link", name="Adopt all 1").click()
    dialog = admin.page.get_by_role("dialog", name="Adopt all 1 VM on alder?")
    await expect(dialog.locator(".ik-subjects li")).to_have_count(1)
    assert len(await fleet.get("machines/")) == 2
    await dialog.get_by_role("button", name="Adopt 1 VM").click()
    await expect(admin.page.locator("#note")).to_contain_text("Adoption of 1 VM has begun")
    assert len(await fleet.get("machines/")) == 3


async def test_adopting_all_asks_again_if_there_are_more_by_then(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("hosts/1/adopt?all=1")
    fleet.simulated("alder").add_foreign("late")
    await fleet.post("vm-hosts/1/", op="refresh")
    admin.expected_statuses.add(409)
    await admin.page.get_by_role("button", name="Adopt 1 VM").click()
    await expect(admin.page.locator("#problems")).to_contain_text("Since the question was shown")
    await expect(admin.page.locator("#question")).to_contain_text("late")
    assert len(await fleet.get("machines/")) == 2
    await admin.page.get_by_role("button", name="Adopt 2 VMs").click()
    await expect(admin.page.locator("#note")).to_contain_text("Adoption of 2 VMs has begun")
    assert len(await fleet.get("machines/")) == 4


async def test_a_removal_in_a_dialog_shows_what_came_meanwhile(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("hosts/2/settings")
    await page.get_by_role("link", name="Destroy and remove").click()
    await page.get_by_role("dialog").get_by_label("Type birch to confirm").fill("birch")
    await fleet.compose(fleet.hosts["birch"], hostname="late", memory=1024)
    admin.expected_statuses.add(409)
    await page.get_by_role("button", name="Destroy VMs and remove host").click()
    await expect(page.locator("#problems")).to_contain_text("This changed since the page was shown: read it again.")
    await expect(page.locator("#question")).to_contain_text("late")
    assert [one["state"] for one in await fleet.get("vm-hosts/")] == ["ready", "ready"]
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Destroy VMs and remove host").click()
    await expect(page.locator("#problems")).to_contain_text("Type birch to confirm.")
    await page.get_by_label("Type birch to confirm").fill("birch")
    await page.get_by_role("button", name="Destroy VMs and remove host").click()
    await expect(page.locator("#note")).to_contain_text("Remove host birch")


async def test_a_host_is_closed_after_a_question_and_opened_again(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("hosts/1/settings")
    await page.get_by_role("link", name="Close for placement").click()
    await page.get_by_role("dialog").get_by_label("Reason").fill("new disks")
    assert (await fleet.get("vm-hosts/1/"))["maintenance"] is None
    await page.get_by_role("dialog").get_by_role("button", name="Close for placement").click()
    await expect(page.locator("#note")).to_contain_text("alder is closed for placement")
    assert (await fleet.get("vm-hosts/1/"))["maintenance"]["reason"] == "new disks"
    await page.get_by_role("button", name="Open again").click()
    await expect(page.locator("#note")).to_contain_text("alder is open for placement")


@pytest.mark.parametrize("why", ["refused", "slow", "error"])
async def test_a_question_that_does_not_come_leaves_the_page(admin: Visitor, why: str) -> None:
    is_told = asyncio.Event()

    async def answer(route: Route) -> None:
        if why == "error":
            return await route.fulfill(status=503, body="<p data-error>The database is away.</p>")
        if why == "slow":
            await is_told.wait()
        await route.abort()

    page, admin.expects_outages = admin.page, True
    await admin.go("hosts/1/settings")
    await page.fill("#tags", "kept")
    await page.route("**/maintenance*", answer)
    if why == "slow":
        await page.evaluate("const wait = AbortSignal.timeout; AbortSignal.timeout = () => wait.call(AbortSignal, 50)")
    await page.get_by_role("link", name="Close for placement").click()
    wanted = "The database is away." if why == "error" else "Innkeeper does not answer."
    await expect(page.locator("#toasts [role=alert]")).to_contain_text(wanted)
    is_told.set()
    await page.unroute_all(behavior="wait")
    assert await page.input_value("#tags") == "kept"


async def test_a_double_click_asks_once(admin: Visitor) -> None:
    clicked, asked = asyncio.Event(), list[str]()

    async def hold(route: Route) -> None:
        asked.append(route.request.url)
        await clicked.wait()
        await route.continue_()

    page = admin.page
    await admin.go("hosts/1/settings")
    await page.route("**/maintenance*", hold)
    await page.get_by_role("link", name="Close for placement").dblclick()
    clicked.set()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(asked) == 1


async def test_limits_below_what_is_claimed_ask_with_before_and_after(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("hosts/1/settings")
    await page.fill("#cpu_over_commit_ratio", "0.1")
    await page.fill("#tags", "kept")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("h1")).to_have_text("Set the limits of alder below what is claimed?")
    await expect(page.locator("#question")).to_contain_text("over")
    assert await admin.violations() == []
    assert (await fleet.get("vm-hosts/1/"))["cpu_over_commit_ratio"] == 1.0
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#note")).to_contain_text("Saved.")
    assert page.url.endswith("/hosts/1/settings")
    await page.reload()
    await expect(page.locator("#note")).to_have_count(0)
    host = await fleet.get("vm-hosts/1/")
    assert host["cpu_over_commit_ratio"] == 0.1
    assert "kept" in host["tags"]


@pytest.mark.opens("tasks/<task>/cancel")
async def test_a_task_is_cancelled_after_a_question(admin: Visitor, fleet: Deployment) -> None:
    with fleet.held(name="alder"):
        task = await fleet.begin("vm-hosts/1/", op="refresh")
        await admin.go(f"tasks/{task}")
        await admin.page.get_by_role("link", name="Cancel task").click()
        dialog = admin.page.get_by_role("dialog", name=f"Cancel task #{task}?")
        await expect(dialog).to_contain_text("refresh of alder")
        assert not (await fleet.get(f"operations/{task}/"))["cancel_requested"]
        await dialog.get_by_role("button", name="Cancel task").click()
        await expect(admin.page.locator("#note")).to_contain_text("being cancelled")
    await expect(admin.page.locator("#task-head")).to_contain_text("Cancelled")


@pytest.mark.opens("tasks/<task>/abandon")
async def test_a_task_whose_undoing_fails_is_abandoned_with_a_reason(admin: Visitor, fleet: Deployment) -> None:
    (machine,) = [one for one in await fleet.get("machines/") if one["hostname"] == "web-1"]
    async with stuck(fleet, machine, "resize", host="alder") as task:
        await admin.go(f"tasks/{task}")
        await admin.page.get_by_role("link", name="Abandon task").click()
        dialog = admin.page.get_by_role("dialog", name=f"Abandon task #{task}?")
        assert await admin.violations() == []
        await dialog.get_by_label("Why").fill("the host was reinstalled")
        await dialog.get_by_role("button", name="Abandon task").click()
        await expect(admin.page.locator("main")).to_contain_text("the host was reinstalled")
