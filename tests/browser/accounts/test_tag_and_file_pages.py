"""Tags and one's own files in the browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.browser.networks.test_device_pages import ask, follow, press
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment


def read(path: Path) -> str:
    return path.read_text()


async def test_a_tag_is_put_on_vms_and_hosts_and_deleted(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("settings")
    await follow(page, "Tags")
    await follow(page, "Add tag")
    await page.fill("#name", "ssd")
    await page.fill("#comment", "has local flash")
    await press(page, "Add tag")
    await follow(page, "Put on VMs and hosts: ssd")
    admin.expected_statuses.add(422)
    await page.fill("#add", "web-1 nowhere-1")
    await press(page, "Save")
    await expect(page.locator("#add-error")).to_contain_text("nowhere-1")
    await page.fill("#add", "web-1, alder")
    await press(page, "Save")
    assert [one["hostname"] for one in await fleet.get("tags/ssd/?op=nodes")] == ["web-1", "alder"]
    await follow(page, "VMs with ssd")
    await expect(page.locator("#vms")).to_contain_text("web-1")
    await expect(page.locator("#vms")).not_to_contain_text("db-1")
    await admin.go("settings/tags")
    dialog = await ask(page, "Delete ssd")
    await dialog.get_by_label("Type ssd to confirm").fill("ssd")
    await press(page, "Delete tag")
    await expect(page.locator("#tags")).not_to_contain_text("ssd")


async def test_a_file_is_stored_downloaded_and_deleted(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("account")
    await follow(page, "Files")
    await page.fill("#filename", "env/state <1>")
    await page.fill("#file", "kept: ä")
    await press(page, "Store file")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download env/state <1>").click()
    assert read(await (await download.value).path()) == "kept: ä"
    await ask(page, "Delete env/state <1>")
    await press(page, "Delete file")
    await expect(page.locator("main")).to_contain_text("No files")


async def test_the_pages_of_tags_and_files_are_accessible(admin: Visitor, fleet: Deployment) -> None:
    await fleet.post("tags/", name="ssd")
    await admin.go("account/files")
    await admin.page.fill("#filename", "state")
    await admin.page.fill("#file", "1")
    await press(admin.page, "Store file")
    tags = (
        "settings/tags",
        "settings/new-tag",
        "settings/tags/ssd",
        "settings/tags/ssd/put",
        "settings/tags/ssd/delete",
    )
    assert await admin.problems_of((*tags, "account/files", "account/files/delete?name=state")) == {}
