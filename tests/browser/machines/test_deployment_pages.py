"""Deployments in a browser: from the form until Deployed, what the form refuses, a failure, and abort."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually

BIG = 10**12


async def _open(admin: Visitor, name: str) -> str:
    """Opens the page of the VM, and returns its address below the UI."""
    await admin.go(f"vms?q={name}")
    await admin.page.get_by_role("link", name=name, exact=True).click()
    await expect(admin.page.locator("h1")).to_have_text(name)
    return admin.page.url.split("/MAAS/ui/")[1]


async def _press(admin: Visitor, name: str) -> None:
    async with admin.page.expect_navigation():
        await admin.page.locator("main").get_by_role("button", name=name, exact=True).click()


async def _compose_silent(fleet: Deployment, name: str) -> None:
    """A VM on a host whose guests never report."""
    host = await fleet.add_simulated("elm", cores=4, memory_mib=8192, boot="fails")
    await fleet.compose(host["id"], hostname=name, cores=1, memory=1024)


@pytest.mark.first_tier
async def test_a_vm_is_deployed_with_the_form(admin: Visitor, fleet: Deployment) -> None:
    await add_image(fleet, "ubuntu/noble")
    page, path = admin.page, await _open(admin, "web-1")
    await page.get_by_role("link", name="Deploy", exact=True).click()
    await expect(page.locator("#distro_series")).to_have_value("ubuntu/noble")
    await expect(page.locator("#no-keys")).to_contain_text("You have no SSH key. Nobody will be able to log in")
    assert await admin.look("deploy", width=1400) == []
    assert await admin.look("deploy", width=320, dark=True) == []
    await page.fill("#user_data", "#cloud-config\npackages: [htop]")
    await _press(admin, "Deploy VM")
    await expect(page.locator("#note")).to_contain_text("Deploy web-1")
    await admin.go(path)
    await expect(page.locator("#vm-head")).to_contain_text("deployed")
    await expect(page.locator("#vm-head")).to_contain_text("ubuntu/noble")
    user_data = fleet.simulated("alder").user_data_of("web-1").replace(b"\n", b"")
    assert b"I2Nsb3VkLWNvbmZpZwpwYWNrYWdlczogW2h0b3Bd" in user_data  # in base64, its line ends without CR
    await admin.go("vms?q=web-1")
    await expect(page.locator("#vms tbody")).to_contain_text("Deployed, noble")
    assert await admin.look("vms-deployed", width=320) == []


async def test_what_cannot_be_deployed_is_said_at_its_field(admin: Visitor, fleet: Deployment) -> None:
    page, path = admin.page, await _open(admin, "web-1")
    await admin.go(f"{path}/deploy")
    await expect(page.locator("main")).to_contain_text("No image for amd64")
    assert await admin.look("deploy-no-image", width=320) == []
    await add_image(fleet, "ubuntu/noble")
    await add_image(fleet, "debian/bookworm")
    await add_image(fleet, "custom/huge", content=b"huge", disk_bytes=BIG)
    await admin.go(f"{path}/deploy")
    await expect(page.locator("option[value='custom/huge']")).to_be_disabled()
    await page.fill("#user_data", "what is this")
    await page.select_option("#distro_series", "debian/bookworm")
    admin.expected_statuses.add(422)
    await _press(admin, "Deploy VM")
    await expect(page.locator("#user_data-error")).to_contain_text("what is this")
    assert await page.input_value("#distro_series") == "debian/bookworm"
    assert await page.input_value("#user_data") == "what is this"
    assert await admin.look("deploy-refused", width=320) == []
    await page.fill("#user_data", "")
    await page.select_option("#distro_series", "ubuntu/noble")
    await execute(fleet.region.components.database, "update image set state = 'failed', error = 'x'")
    await _press(admin, "Deploy VM")
    await expect(page.locator("main")).to_contain_text("ubuntu/noble is not ready")


async def test_an_image_that_is_too_large_is_never_shown_and_not_sent(admin: Visitor, fleet: Deployment) -> None:
    """Also if it is the default one: a disabled choice would not be sent, and the region would take the default."""
    await add_image(fleet, "ubuntu/noble", content=b"huge", disk_bytes=BIG)
    await add_image(fleet, "debian/bookworm")
    page, path = admin.page, await _open(admin, "web-1")
    await admin.go(f"{path}/deploy")
    await expect(page.locator("#distro_series")).to_have_value("")
    await expect(page.locator("#distro_series option:checked")).to_have_text("Choose an image")
    await page.locator("option[value='ubuntu/noble']").evaluate("option => option.disabled = false")
    await page.select_option("#distro_series", "ubuntu/noble")
    admin.expected_statuses.add(409)
    await _press(admin, "Deploy VM")
    await expect(page.locator("#distro_series")).to_have_value("ubuntu/noble")
    await expect(page.locator("#distro_series option:checked")).to_be_enabled()
    await expect(page.locator("#problems")).to_be_visible()


@pytest.mark.opens("vms/<system_id>/abort")
async def test_a_deployment_is_followed_and_aborted(admin: Visitor, fleet: Deployment) -> None:
    await add_image(fleet)
    await _compose_silent(fleet, "mail-1")
    page, path = admin.page, await _open(admin, "mail-1")
    await admin.go(f"{path}/deploy")
    await _press(admin, "Deploy VM")
    await admin.go(path)
    await expect(page.locator("section[aria-labelledby=v-deploy]")).to_contain_text("Wait for report")
    for width, dark in ((1400, False), (320, True)):
        assert await admin.look("vm-deploying", width=width, dark=dark) == []
    await page.get_by_role("link", name="Abort", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("root disk is emptied")
    assert await admin.look("vm-abort", width=320, reload=False) == []
    await dialog.get_by_role("button", name="Abort deployment").click()
    await expect(page.locator("#vm-head")).to_contain_text("allocated")
    await expect(page.locator("#act-deploy")).to_be_visible()


async def test_a_failed_deployment_shows_its_reason(admin: Visitor, fleet: Deployment) -> None:
    await add_image(fleet)
    await _compose_silent(fleet, "mail-1")
    path = await _open(admin, "mail-1")
    await fleet.post(f"machines/{path.removeprefix('vms/')}/", op="deploy")
    database = fleet.region.components.database
    await eventually(lambda: fetchval(database, "select booted_at is not null from deployment"))
    await execute(database, "update deployment set booted_at = booted_at - interval '1 day'")
    body = admin.page.locator("#vm-body")
    await expect(body).to_contain_text("did not report within 1800 s")
    assert await admin.look("vm-failed", width=320, dark=True) == []
    await body.get_by_role("link", name="Release it").click()
    await expect(admin.page.get_by_role("dialog")).to_contain_text("Release mail-1")
