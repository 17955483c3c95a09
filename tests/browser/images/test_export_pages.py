"""Exports and imports in a browser: a VM becomes a file, which is downloaded and becomes another VM."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually


@pytest.mark.opens("vms/<system_id>/export", "settings/exports/<export>/import")
async def test_a_vm_becomes_a_file_and_that_another_vm(admin: Visitor, fleet: Deployment) -> None:
    page = admin.page
    machine = next(one for one in await fleet.get("machines/") if one["power_state"] == "off")
    await admin.go(f"vms/{machine['system_id']}/export")
    assert await admin.look("export", width=1280) == []
    async with page.expect_navigation():
        await page.get_by_role("button", name="Export VM").click()

    async def is_ready() -> bool:
        return [one["state"] for one in await fleet.get("exports/")] == ["ready"]

    await eventually(is_ready)
    (made,) = await fleet.get("exports/")
    await admin.go("settings/exports")
    for width in (1280, 390):
        assert await admin.look("exports", width=width) == []
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download").click()
    path = await (await begun.value).path()
    content = await asyncio.to_thread(Path(path).read_bytes)
    assert hashlib.sha256(content).hexdigest() == made["sha256"]
    await admin.go(f"settings/exports/{made['id']}/import")
    assert await admin.look("import", width=1280) == []
    await page.get_by_label("Name of the VM").fill("copy-1")
    await page.get_by_role("button", name="Import VM").click()

    async def is_made() -> bool:
        found = [one for one in await fleet.get("machines/") if one["hostname"] == "copy-1"]
        return [one["status_name"] for one in found] == ["Allocated"]

    await eventually(is_made)
