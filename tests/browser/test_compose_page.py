"""The form that composes VMs, in a browser: nothing is ignored, and nothing that was not chosen happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from regiond.ui.machines import compose_page
from tests.browser.visitor import Visitor, visitor
from tests.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser, Route

    from tests.deployment.deployment import Deployment

COMPOSE = "button.p-button--positive[value=compose]"


@pytest.fixture
def plain(chromium: Browser, fleet: Deployment) -> Iterator[Visitor]:
    """An administrator whose browser runs no script."""
    came = settle(visitor(chromium, fleet, "mira", scripts=False))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


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


async def test_a_closed_host_stays_chosen_and_is_refused_by_name(admin: Visitor, fleet: Deployment) -> None:
    path = f"vm-hosts/{fleet.hosts['birch']}/"
    await fleet.post(path, op="maintenance", reason="new disks")
    before = {one["hostname"] for one in await fleet.get("machines/")}
    await admin.go("compose?host=birch")
    page, preview = admin.page, admin.page.locator("#preview")
    await expect(page.locator("#host")).to_have_value("birch")
    await expect(page.locator("#host option:disabled")).to_have_count(0)
    await expect(preview).to_contain_text("No host fits")
    await expect(preview.locator("#rejected-1")).to_contain_text("Closed for placement")
    await expect(preview.locator("#rejected-1")).to_contain_text("new disks")
    await expect(preview.locator("#rejected-1")).to_contain_text("Open the host again")
    admin.expected_statuses.add(503)
    await page.locator(COMPOSE).click()
    await expect(page.locator("#host-error")).to_contain_text("birch cannot take it: is in maintenance since")
    await expect(page.locator("#host-error")).to_contain_text("Open the host again")
    await expect(page.locator("#host")).to_have_value("birch")
    assert await admin.look("compose-refused", width=1400, reload=False) == []
    assert await admin.look("compose-refused", width=320, reload=False) == []
    assert {one["hostname"] for one in await fleet.get("machines/")} == before
    await fleet.post(path, op="end_maintenance")
    await page.select_option("#host", "birch")
    await page.locator(COMPOSE).click()
    await expect(page.locator("#vm-head")).to_contain_text("birch")


async def test_a_host_out_of_reach_stays_chosen_too(admin: Visitor, fleet: Deployment) -> None:
    await fleet.stop_rack()
    await admin.go("compose?host=alder")
    await expect(admin.page.locator("#host")).to_have_value("alder")
    await expect(admin.page.locator("#rejected-1")).to_contain_text("Out of reach of every connected rack")
    admin.expected_statuses.add(503)
    await admin.page.locator(COMPOSE).click()
    await expect(admin.page.locator("#host-error")).to_contain_text(
        "alder cannot take it: no connected rack reaches it"
    )
    assert len(await fleet.get("machines/")) == 2


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


SENT = "/ui/compose"  # unlike a preview
# By the fields of the form: what is typed, and the field that refuses it. The region is asked too.
WRONG = (
    ({"hostname": "12"}, "hostname"),
    ({"hostname": "web_1"}, "hostname"),
    ({"hostname": "web-1"}, "hostname"),  # taken
    ({"count": "0"}, "count"),
    ({"count": "99"}, "count"),
    ({"cores": ""}, "cores"),
    ({"cores": "0"}, "cores"),
    ({"cores": "99999999999"}, "cores"),
    ({"memory": ""}, "memory"),
    ({"memory": "0"}, "memory"),
    ({"memory": "99999999999"}, "memory"),
    ({"disk0-size": ""}, "disk0-size"),
    ({"disk0-size": "0"}, "disk0-size"),
    ({"disk0-size": "999999999999"}, "disk0-size"),
    ({"disk0-tags": "(fast)"}, "disk0-tags"),
    ({"zone": "nowhere"}, "zone"),
    ({"zone": " , "}, "zone"),
    ({"pool": "nothing"}, "pool"),
    ({"tags": "!"}, "tags"),
    ({"affinity": "a b"}, "affinity"),
    ({"anti_affinity": "a b"}, "anti_affinity"),
)


async def test_each_wrong_value_is_refused_at_its_field(admin: Visitor, fleet: Deployment) -> None:
    """In the preview and in the form that is sent; the value stays, and no VM is composed."""
    page = admin.page
    admin.expected_statuses.add(422)
    before = len(await fleet.get("machines/"))
    await admin.go("compose")
    for typed, name in WRONG:
        await page.locator("#advanced").evaluate("details => details.open = true")
        usual = {field: await page.locator(f"[name='{field}']").input_value() for field in typed}
        for field, value in typed.items():
            await page.fill(f"[name='{field}']", value)
        await expect(page.locator(f"#preview a[href='#{name}']")).to_be_visible()
        async with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith(SENT)):
            await page.locator(COMPOSE).click()
        await expect(page.locator(f"#{name}-error"), f"{typed} is refused").to_be_visible()
        await expect(page.locator(f"#problems a[href='#{name}']")).to_be_visible()
        for field, value in typed.items():
            assert (await page.locator(f"[name='{field}']").input_value()).strip() == value.strip(), typed
            await page.fill(f"[name='{field}']", usual[field])
    assert len(await fleet.get("machines/")) == before


async def test_without_scripts_each_wrong_value_is_refused_too(plain: Visitor, fleet: Deployment) -> None:
    page = plain.page
    plain.expected_statuses.add(422)
    before = len(await fleet.get("machines/"))
    for typed, name in WRONG:
        await plain.go("compose")
        if name.endswith("affinity"):
            await page.locator("#advanced summary").click()
        for field, value in typed.items():
            await page.fill(f"[name='{field}']", value)
        await page.locator(COMPOSE).click()
        await expect(page.locator(f"#{name}-error"), f"{typed} is refused").to_be_visible()
        await expect(page.locator(f"#preview a[href='#{name}']")).to_be_visible()
    assert len(await fleet.get("machines/")) == before


async def test_pinned_cores_are_never_ignored(admin: Visitor) -> None:
    page = admin.page
    await admin.go("compose?host=alder")
    await expect(page.locator("#pinned_cores")).to_be_hidden()
    await page.check("#pins-yes")
    await expect(page.locator("#cores")).to_be_hidden()  # it would not count
    await page.fill("#pinned_cores", "1,2")
    await expect(page.locator("#preview")).to_contain_text("Pinned to cores 1–2")
    await page.check("#pins-no")
    await expect(page.locator("#pinned_cores")).to_be_visible()
    await expect(page.locator("#preview a[href='#pinned_cores']")).to_be_visible()
    admin.expected_statuses.add(422)
    await page.locator(COMPOSE).click()
    await expect(page.locator("#pinned_cores-error")).to_contain_text("These count only for pinned cores with ids")
    await page.check("#pins-count")
    await page.fill("#pinned_cores", "")
    await page.fill("#cores", "2")
    await expect(page.locator("#preview")).to_contain_text("Pinned to cores")


async def test_an_interface_says_what_it_lacks_at_its_field(admin: Visitor) -> None:
    page = admin.page
    await admin.go("compose?host=alder")
    await page.get_by_role("button", name="Add interface").click()
    await expect(page.locator("#preview a[href='#nic0-subnet']")).to_have_text("Subnet of eth0")
    await page.fill("#nic0-ip", "10.20.10")
    await expect(page.locator("#preview a[href='#nic0-ip']")).to_be_visible()
    await page.fill("#nic0-ip", "10.99.99.9")  # in no subnet
    await expect(page.locator("#preview a[href='#nic0-ip']")).to_be_visible()
    await expect(page.locator("#preview")).to_contain_text("known subnets contains 10.99.99.9")
    admin.expected_statuses.add(422)
    await page.locator(COMPOSE).click()
    await expect(page.locator("#nic0-ip-error")).to_contain_text("10.99.99.9")
    await page.fill("#nic0-ip", "10.20.10.77")
    await expect(page.locator("#preview")).to_contain_text("10.20.10.77")


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


async def test_of_several_vms_those_that_do_not_fit_are_refused(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("compose?host=birch")
    await page.fill("#cores", "2")
    await page.fill("#memory", "1024")
    await page.fill("#count", "3")
    await expect(page.locator("#preview-several")).to_contain_text("The other 1 will be refused")
    await page.locator(COMPOSE).click()
    await expect(page.locator("h1")).to_contain_text("2 of 3 VMs")
    await expect(page.locator("#refused")).to_contain_text("1 VM was refused")
    await expect(page.locator("#composed tbody tr")).to_have_count(2)
    await expect(page.locator("main")).to_contain_text("Not enough free cores")
    await page.get_by_role("link", name="Compose the other 1").click()
    await expect(page.locator("#host")).to_have_value("birch")
    await expect(page.locator("#count")).to_have_value("1")
    assert sum(one["pod"]["name"] == "birch" for one in await fleet.get("machines/")) == 2


async def test_a_refusal_of_many_hosts_is_a_list_of_reasons(admin: Visitor, fleet: Deployment) -> None:
    """On the compose page, on the page of the task and where that leads to."""
    for number in range(6):
        host = await fleet.add_simulated(f"closed-{number}", cores=2, memory_mib=4096)
        await fleet.post(f"vm-hosts/{host['id']}/", op="maintenance", reason=f"reason {number}: disks, fans")
    page = admin.page
    await admin.go("compose")
    await page.fill("#memory", "900000")
    groups = page.locator(".ik-rejects > li")
    await expect(groups.first).to_contain_text("Closed for placement")
    admin.expected_statuses.add(503)
    await page.locator(COMPOSE).click()
    await expect(page.locator("#problems")).to_contain_text("No host can take it.")
    await expect(page.locator("#problems")).not_to_contain_text("closed-1")
    await expect(groups).to_have_count(2)
    await expect(groups.locator("b")).to_have_text(["Closed for placement", "Not enough free RAM"])
    await expect(groups.first.locator(".ik-rejects__n")).to_have_text("6")
    await expect(page.get_by_text("reason 3: disks, fans")).to_be_hidden()
    await groups.first.locator("summary").click()
    await expect(page.get_by_text("reason 3: disks, fans")).to_be_visible()
    (task,) = [one for one in await fleet.get("operations/") if one["state"] == "failed"]
    await admin.go(f"tasks/{task['id']}")
    await expect(page.locator("#task-body .p-notification--negative")).not_to_contain_text("closed-1")
    await expect(groups.locator("b")).to_have_text(["Closed for placement", "Not enough free RAM"])
    await page.get_by_role("link", name="Try again").click()
    await page.wait_for_url("**/compose?task=*")
    await expect(groups.locator("b")).to_have_text(["Closed for placement", "Not enough free RAM"])
    await admin.go("tasks?show=failed")
    await expect(page.locator("main tbody")).to_contain_text("No host can take the VM.")
    await expect(page.locator("main tbody")).not_to_contain_text("closed-1")


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


async def test_the_preview_says_that_a_quota_refuses(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("quotas/", pool="default", cores=3)
    await admin.go("compose")
    await expect(admin.page.locator("#preview-refused")).to_contain_text(
        "Quota of pool default: 3 cores, 3 used, 1 asked"
    )
    admin.expected_statuses.add(403)
    await admin.page.locator(COMPOSE).click()
    await expect(admin.page.locator("#problems")).to_contain_text("quota of pool default")
    assert len(await fleet.get("machines/")) == 2


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
