"""The form that composes VMs, in a browser: what was chosen happens, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from regiond.ui.machines.compose import compose_page
from tests.browser.support.visitor import Visitor

if TYPE_CHECKING:
    from playwright.async_api import Route

    from tests.deployment.deployment import Deployment

COMPOSE = "button.p-button--positive[value=compose]"


@pytest.mark.first_tier
async def test_the_preview_follows_the_form_also_when_a_field_is_wrong(admin: Visitor) -> None:
    await admin.go("compose?host=alder")
    preview = admin.page.locator("#preview")
    await expect(preview).to_contain_text("chosen")
    await admin.page.fill("#memory", "5")
    await expect(preview).to_contain_text("Must be at least 1024")
    admin.expected_statuses.add(422)
    await admin.page.locator(COMPOSE).click()
    await expect(admin.page.locator("#problems")).to_contain_text("RAM: ")
    await expect(admin.page.locator("#memory")).to_have_value("5")
    await admin.page.fill("#memory", "1024")
    await expect(preview).to_contain_text("chosen")
    await admin.page.fill("#hostname", "from-a-form")
    await admin.page.locator(COMPOSE).click()
    await expect(admin.page.locator("h1")).to_have_text("from-a-form")
    await expect(admin.page.locator("#note")).to_contain_text("succeeded")


async def test_names_of_hosts_are_suggested_while_one_types(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_page, "MOST_CHOICES", 1)
    await admin.go("compose")
    page, names = admin.page, admin.page.locator("#host-names option")
    await page.locator("#host").focus()
    await expect(names).to_have_count(2)
    await page.locator("#host").press_sequentially("bir")
    await expect(names).to_have_count(1)
    await page.fill("#host", "birch")
    await expect(page.locator("#preview")).to_contain_text("birch")
    assert await admin.looks_of("compose") == []


async def test_a_preview_does_not_abort_slow_suggestions(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    monkeypatch.setattr(compose_page, "MOST_CHOICES", 1)
    await admin.go("compose")
    page = admin.page
    await page.locator("#host").focus()
    await expect(page.locator("#host-names option")).to_have_count(2)
    await page.route("**/compose/hosts?*", hold)
    async with page.expect_request("**/compose/hosts?*"), page.expect_response("**/compose/preview"):
        await page.fill("#host", "birch")
    released.set()
    await expect(page.locator("#host-names option")).to_have_count(1, timeout=10_000)


async def test_a_form_is_sent_as_it_was_when_its_button_was_pressed(admin: Visitor) -> None:
    """What is typed while the region is asked for the session was not confirmed by anybody."""
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await admin.go("compose?host=alder")
    page = admin.page
    session = await page.locator("meta[name=csrf-token]").get_attribute("data-session")
    await page.route(f"**{session}", hold)
    await page.fill("#hostname", "as-pressed")
    async with page.expect_request(f"**{session}"):
        await page.locator(COMPOSE).click()
    await page.fill("#hostname", "typed-later")
    released.set()
    await expect(page.locator("h1")).to_have_text("as-pressed")


async def test_zone_and_pool_of_the_vm_are_those_that_were_chosen(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("zones/", name="north")
    await fleet.post("resourcepools/", name="lab")
    page = admin.page
    await admin.go("compose")
    await page.get_by_label("Zone of the VM").select_option("north")
    await page.get_by_label("Resource pool of the VM").select_option("lab")
    await page.fill("#hostname", "placed")
    await page.locator(COMPOSE).click()
    await expect(page.locator("#note")).to_contain_text("succeeded")
    (machine,) = await fleet.get("machines/?hostname=placed")
    assert (machine["zone"]["name"], machine["pool"]["name"]) == ("north", "lab")


async def test_the_preview_shows_the_host_before_and_after(admin: Visitor) -> None:
    page = admin.page
    await admin.go("compose?host=alder")
    await page.fill("#cores", "4")
    bars = page.locator("#before-after")
    await expect(bars).to_contain_text("+4cores8 of 16 left")
    await expect(bars.locator("svg").first).to_have_attribute(
        "aria-label", "CPU cores: 4 allocated, 4 asked, 8 left of 16 cores"
    )
    await expect(bars).to_contain_text("Storage pool local")
    await expect(page.locator("#disk0-pool-help")).to_contain_text("local on alder: ")
    await expect(page.locator("#disk0-pool option").nth(2)).to_have_text("nvme: 200 GB free")
    await expect(page.locator("#compose-sum")).to_have_text("4 cores, 2 GiB of RAM, 8 GB, 1 interface")
    assert await admin.look("compose", width=1400, reload=False) == []
    assert await admin.look("compose", width=320, reload=False) == []


async def test_several_vms_are_composed_with_a_task_each(admin: Visitor, fleet: Deployment) -> None:
    page, several = admin.page, admin.page.locator("#preview-several")
    await admin.go("compose?host=birch")
    await page.fill("#hostname", "row")
    await page.fill("#cores", "2")
    await page.fill("#memory", "1024")
    await page.fill("#count", "3")
    await expect(several).to_contain_text("2 of 3 VMs fit")
    await expect(several).to_contain_text("birch2 VMs")
    await page.fill("#count", "2")
    await expect(several).to_contain_text("All 2 VMs fit")
    await page.locator(COMPOSE).click()
    await expect(page.locator("#vms tbody tr")).to_have_count(2)
    await expect(page.locator("#note")).to_contain_text("2 VMs are being composed.")
    await page.locator("#note").get_by_role("link", name="Tasks").click()
    await expect(page.locator("h1")).to_have_text("2 of 2 VMs composed")  # by the stream, when both have ended
    rows = page.locator("#composed tbody tr")
    await expect(rows).to_have_count(2)
    await expect(page.locator("#composed")).to_contain_text("row-1")
    await expect(rows.filter(has_text="Succeeded")).to_have_count(2)
    assert await admin.look("compose-several", width=1400) == []
    await admin.go("compose?host=birch")
    await page.fill("#hostname", "row-1")  # with the next one taken too
    await page.fill("#count", "2")
    await expect(page.locator("#preview a[href='#hostname']")).to_be_visible()
    hosts = {one["hostname"]: one["pod"]["name"] for one in await fleet.get("machines/")}
    assert (hosts["row-1"], hosts["row-2"]) == ("birch", "birch")


async def test_the_page_of_a_vm_says_by_itself_why_it_was_not_created(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    with fleet.held("create volume", name="birch"):
        await admin.go("compose?host=birch")
        await page.fill("#hostname", "never-1")
        await page.fill("#memory", "1024")
        await page.locator(COMPOSE).click()
        await expect(page.locator("h1")).to_have_text("never-1")
        await expect(page.locator("#note")).to_contain_text("Compose never-1")
        task = int((await page.locator("#note-task").get_attribute("href") or "").rpartition("/")[2])
        await fleet.post(f"operations/{task}/", op="cancel")
    notices = page.locator("#vm-notices")
    await expect(notices).to_contain_text("was not created")
    await expect(notices).to_contain_text("The operation was cancelled.")
    await expect(page.locator("#note")).to_contain_text("cancelled")
    assert await admin.look("not-created", width=320, reload=False) == []
    await notices.get_by_role("link", name="Delete").click()
    dialog = page.get_by_role("dialog")
    await dialog.locator("#typed").fill("never-1")
    await dialog.get_by_role("button", name="Delete VM").click()
    await page.wait_for_url("**/vms")
    assert "never-1" not in [one["hostname"] for one in await fleet.get("machines/")]


async def test_previews_leave_no_entry_in_the_audit_trail(admin: Visitor, fleet: Deployment) -> None:
    await admin.go("compose")
    before = len(await fleet.get("audit/?limit=1000"))
    await admin.page.fill("#memory", "4096")
    await expect(admin.page.locator("#compose-sum")).to_contain_text("4 GiB")
    await admin.page.fill("#memory", "1")
    await expect(admin.page.locator("#preview a[href='#memory']")).to_be_visible()
    (machine, *_) = await fleet.get("machines/")
    host, vm = f"hosts/{fleet.hosts['alder']}", f"vms/{machine['system_id']}"
    for path in (f"{host}/settings", f"{host}/remove", f"{vm}/release", f"{vm}/delete"):  # with what would go and stay
        await admin.go(path)
    assert len(await fleet.get("audit/?limit=1000")) == before


async def test_without_scripts_the_hardware_is_seen_before_it_is_composed(plain: Visitor, fleet: Deployment) -> None:
    await fleet.compose(fleet.hosts["alder"], hostname="golden", cores=2, memory=3072, storage="root:12,data:5")
    await plain.go("compose")
    page = plain.page
    await page.select_option("#template", "golden")
    plain.expected_statuses.add(422)
    await page.locator(COMPOSE).click()
    await expect(page.locator("#template-error")).to_contain_text("Look at it, then compose")
    await expect(page.locator("#disk1-size")).to_have_value("5")
    await page.locator(COMPOSE).click()
    await expect(page.locator("#vm-head")).to_contain_text("alder")
