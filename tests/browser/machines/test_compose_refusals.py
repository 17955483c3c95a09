"""What the form that composes VMs refuses, in a browser: each at its field, and nothing is ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.machines.test_compose_page import COMPOSE
from tests.browser.support.visitor import Visitor

if TYPE_CHECKING:
    from tests.deployment.deployment import Deployment


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
        async with page.expect_navigation():  # the page before may have refused the same field
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
