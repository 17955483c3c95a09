"""A libvirt host in the browser, on the lab's libvirtd and QEMU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.needs import require, why_no_libvirt
from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.lab


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    """The system's libvirt, with a storage pool for this test."""
    require(why_no_libvirt())
    host = LabHost(tmp_path, prefix="ikbr")
    yield host
    host.close()


@pytest.fixture
def mira(chromium: Browser, lab_host: LabHost, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


async def test_a_libvirt_host_and_a_vm_come_and_go(mira: Visitor, lab_host: LabHost) -> None:
    from tests.browser.support.whole_life import delete_machine, press, remove_host, succeeded

    page, name = mira.page, f"{lab_host.prefix}web"
    await mira.go("hosts/add?type=virsh")
    await page.fill("#name", "lab")
    await page.fill("#power_address", "qemu:///system")
    await page.get_by_role("button", name="Add host").click()
    await page.wait_for_url("**/hosts/add?step=check&host=1")
    await expect(page.locator("#add-check")).to_contain_text("Connected")
    assert await mira.look("libvirt-check", width=1400) == []
    await mira.go("hosts/1/settings")
    for ratio in ("cpu", "memory"):  # the machine may have other domains
        await page.fill(f"#{ratio}_over_commit_ratio", "10")
    await page.get_by_role("button", name="Review and save").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("#note")).to_contain_text("Saved.")

    await mira.go("compose?host=lab")
    await page.fill("#hostname", name)
    await page.fill("#memory", "1024")
    await page.get_by_label("Size of root in GB").fill("1")
    await page.get_by_label("Storage pool of root").select_option(f"{lab_host.prefix}pool")
    await page.locator("#advanced summary").click()
    await page.get_by_label("Start it when it is composed").check()
    await expect(page.locator("#preview")).to_contain_text("lab")
    await page.locator("button.p-button--positive[value=compose]").click()
    await succeeded(page)
    assert lab_host.is_running(name)

    await mira.go("vms")
    row = page.locator("tr", has_text=name)
    await expect(row).to_contain_text("Running")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await asyncio.to_thread(lab_host.domain(name).destroy)  # as `virsh destroy`
    await expect(row).to_contain_text("Off")
    await asyncio.to_thread(lab_host.domain(name).create)
    await expect(row).to_contain_text("Running")

    await press(mira, name, "Power off")
    assert not lab_host.is_running(name)
    await delete_machine(mira, name)
    assert lab_host.names() == lab_host.volumes() == set()
    await remove_host(mira, 1, "lab")
