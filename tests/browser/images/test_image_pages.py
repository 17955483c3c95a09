"""The images page: uploads as they proceed, why one failed, deletion, and what other users see of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.support.fleet import PASSWORD
from tests.browser.support.visitor import Visitor, visitor
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.postgresql.database import execute
from tests.support.disk_images import MIB, raw_disk

CONTENT = b"no image" * 1000


async def declare(fleet: Deployment, name: str, content: bytes = CONTENT) -> int:
    """Begins an upload, and returns its id."""
    made = await fleet.post(
        "boot-resources/", name=name, title="Half an image", architecture="amd64",
        sha256=hashlib.sha256(content).hexdigest(), size=len(content),
    )  # fmt: skip
    return int(made["id"])


async def test_an_upload_is_shown_as_it_proceeds(admin: Visitor, fleet: Deployment) -> None:
    page, database = admin.page, fleet.region.components.database
    await admin.go("settings/images")
    await expect(page.locator("#images")).to_contain_text("No images yet")
    assert await admin.look("images-none", width=320) == []
    await expect(page.locator("#live-state")).to_have_text("Live")
    await add_image(fleet, "ubuntu/noble")
    number = await declare(fleet, "debian/bookworm")
    row = page.locator(f"#image-{number}")
    await expect(row).to_contain_text("of 8 kB")
    await execute(database, "update image set received_bytes = 2000 where id = $1", number)
    await expect(row.get_by_role("img", name="25 % uploaded")).to_be_visible()
    await expect(page.locator("#images tr", has_text="ubuntu/noble")).to_contain_text("default")
    for width, dark in ((1400, False), (1400, True), (320, True)):
        assert await admin.look("images", width=width, dark=dark) == []
    await execute(
        database, "update image set state = 'failed', error = 'It is not an image.', expires_at = null where id = $1",
        number,
    )  # fmt: skip
    await expect(row).to_contain_text("It is not an image.")
    await expect(page.locator("#upload")).to_contain_text("architecture=amd64")


@pytest.mark.opens("settings/images/<image>/default")
async def test_an_image_is_made_the_default_after_a_question(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await add_image(fleet, "ubuntu/jammy")
    await add_image(fleet, "ubuntu/noble", content=b"another image" * 100)
    await admin.go("settings/images")
    await page.get_by_role("link", name="Make ubuntu/noble for amd64 the default").click()
    dialog = page.get_by_role("dialog", name="Make ubuntu/noble the default image")
    assert await admin.violations() == []
    await dialog.get_by_role("button", name="Make default").click()
    await expect(page.locator("#images tr", has_text="ubuntu/noble")).to_contain_text("default")
    await expect(page.locator("#images tr", has_text="ubuntu/jammy")).to_contain_text("Make default")


@pytest.mark.first_tier
async def test_an_image_is_deleted_after_a_question(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await add_image(fleet, "ubuntu/noble")
    await admin.go("settings")
    await page.locator("main").get_by_role("link", name="Images").click()
    await page.get_by_role("link", name="Delete ubuntu/noble for amd64").click()
    dialog = page.get_by_role("dialog", name="Delete ubuntu/noble (amd64)?")
    await expect(dialog).to_contain_text("Machines that were deployed with it are not changed.")
    assert await admin.look("image-delete", width=320, reload=False) == []
    await dialog.get_by_role("button", name="Delete image").click()
    await expect(page.locator("#images")).to_contain_text("No images yet")
    assert [one["name"] for one in await fleet.get("boot-resources/?type=uploaded")] == []


async def test_an_image_is_added_by_its_address(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await admin.go("settings/images")
    await page.locator("main").get_by_role("link", name="Add image").click()
    assert await admin.look("image-new-url", width=1400) == []
    assert await admin.look("image-new-url", width=320, dark=True) == []
    await page.fill("#url", "ftp://example.com/disk.img")
    await page.fill("#name", "debian/bookworm")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Download image").click()
    await expect(page.locator("#problems")).to_contain_text("2 fields need a change")
    await expect(page.locator("#url")).to_have_value("ftp://example.com/disk.img")
    await page.fill("#url", "http://127.0.0.1/disk.img")
    await page.fill("#sha256", "ab" * 32)
    await page.get_by_role("button", name="Download image").click()
    row = page.locator("#images tr", has_text="debian/bookworm")
    await expect(row).to_contain_text("127.0.0.1 is this computer, of its local link")
    await expect(row).to_contain_text("http://127.0.0.1/disk.img")


async def test_an_image_is_imported_by_a_form(admin: Visitor) -> None:
    page = admin.page
    await admin.go("settings/new-image/import")
    assert await admin.look("image-new-import", width=320) == []
    await page.fill("#server", "https://127.0.0.1/images")
    await page.fill("#image", "noble")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Import image").click()
    await expect(page.locator("#problems")).to_contain_text("127.0.0.1 is this computer, of its local link")
    await admin.go("settings/new-image/elsewhere", status=404)


async def test_an_image_of_a_vm_host_is_named_by_a_form(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    await fleet.add_simulated("cedar", images="jammy:3")
    await admin.go("settings/new-image/host")
    assert await admin.look("image-new-host", width=1400) == []
    assert await admin.look("image-new-host", width=320, dark=True) == []
    await page.fill("#alias", "noble")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Add image").click()
    await expect(page.locator("#problems")).to_contain_text("Choose the VM host")
    await page.select_option("#vm_host", "cedar")
    await page.get_by_role("button", name="Add image").click()
    await expect(page.locator("#problems")).to_contain_text("its images of VMs are jammy")
    await expect(page.locator("#vm_host")).to_have_value("cedar")
    await page.fill("#alias", "jammy")
    await page.get_by_role("button", name="Add image").click()
    row = page.locator("#images tr", has_text="custom/jammy")
    await expect(row).to_contain_text("on cedar: jammy")
    await expect(row).to_contain_text("Ready")
    for width, dark in ((1400, False), (320, True)):
        assert await admin.look("images-of-hosts", width=width, dark=dark) == []


@pytest.mark.opens("settings/image-upload/<image>")
async def test_a_file_is_uploaded_in_parts(admin: Visitor, fleet: Deployment, tmp_path: Path) -> None:
    page, disk = admin.page, tmp_path / "disk.img"
    disk.write_bytes(raw_disk(9 * MIB))
    await admin.go("settings/new-image/file")
    assert await admin.look("image-new-file", width=1400) == []
    assert await admin.look("image-new-file", width=320, dark=True) == []
    await expect(page.locator("#upload-problem")).to_be_hidden()
    await expect(page.locator("#upload-progress")).to_be_hidden()
    await page.get_by_role("button", name="Upload image").click()
    await expect(page.locator("#upload-problem")).to_contain_text("Choose a file")
    await page.set_input_files("#file", disk)
    await page.fill("#name", "a/b/c")
    admin.expected_statuses.add(422)
    await page.get_by_role("button", name="Upload image").click()
    await expect(page.locator("#upload-problem")).to_contain_text("'a/b/c' is no name of an image")
    lost: list[str] = []

    async def lose_an_answer(route: Route) -> None:
        """The region has the part, and the browser does not learn it."""
        if lost:
            await route.continue_()
        else:
            lost.append(route.request.url)
            await route.fetch()
            await route.abort()

    await page.route("**/image-upload/*offset=4194304", lose_an_answer)
    admin.expects_outages = True
    await page.fill("#name", "debian/bookworm")
    await page.get_by_role("button", name="Upload image").click()
    row = page.locator("#images tr", has_text="debian/bookworm")
    await expect(row).to_contain_text("Ready")
    (image,) = await fleet.get("boot-resources/?type=uploaded")
    assert (image["sha256"], len(lost)) == (hashlib.sha256(disk.read_bytes()).hexdigest(), 1)


async def test_other_users_read_the_images(admin: Visitor, chromium: Browser, fleet: Deployment) -> None:
    await fleet.post("users/", username="ann", password=PASSWORD)
    await add_image(fleet, "ubuntu/noble")
    ann = await visitor(chromium, fleet, "ann")
    await ann.enter()
    await ann.go("settings/images")
    await expect(ann.page.locator("#images")).to_contain_text("ubuntu/noble")
    await expect(ann.page.get_by_role("link", name="Delete")).to_have_count(0)
    assert await ann.look("images-of-a-user", width=320) == []
    (image,) = await fleet.get("boot-resources/?type=uploaded")
    await ann.go(f"settings/images/{image['id']}/delete", status=403)
    assert ann.complaints == []
    await ann.leave()
