"""The SPICE screen of a VM on a real LXD, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.consoles.test_screen_page import CONNECTED, FITS
from tests.lab.servers.lxd_server import LxdServer, lab_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.lab.support.deployed_host import add_lxd
from tests.support.waiting import eventually, settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.lab
PREFIX = "ikspice-"
LIT = """
    () => {
        const canvas = document.querySelector('#screen canvas');
        if (!canvas?.width) return false;
        const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
        return pixels.some((value, at) => at % 4 < 3 && value > 100);
    }
"""


@pytest.fixture
def server() -> Iterator[LxdServer]:
    require(why_no_lxd())
    found = lab_server()
    with found.restored(PREFIX):
        yield found


@pytest.fixture
def mira(chromium: Browser, server: LxdServer, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    # The viewer closes channels for devices that it does not use, also such as still connect: their end is an Event.
    assert [one for one in came.complaints if "WebSocket" not in one and one != "script: Event"] == []


async def test_the_firmware_of_a_vm_of_lxd_is_seen(mira: Visitor, innkeeper: Deployment, server: LxdServer) -> None:
    page = mira.page
    host = await add_lxd(innkeeper, server, name="west")
    machine = await innkeeper.compose(
        host["id"], hostname=f"{PREFIX}vm", cores=1, memory=1024, storage="1", power_on="true"
    )
    await mira.go(f"vms/{machine['system_id']}/screen")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#screen-state")).to_have_text(CONNECTED)
    await eventually(lambda: page.evaluate(LIT))
    assert await page.locator("#screen canvas").evaluate(FITS)
    await page.get_by_text("Text and clipboard").click()
    await page.locator("#screen-clipboard").fill("from the page")
    await page.get_by_role("button", name="Put it in the clipboard").click()
    await expect(page.locator("#screen-state")).to_contain_text("spice-vdagent does not run in it")
    await page.get_by_role("button", name="Disconnect").click()
    await expect(page.locator("#screen-state")).to_have_text("You closed the screen.")
    await mira.go("vms")  # the VM's page, updated after the deletion, would complain of a 404
    await innkeeper.delete(f"machines/{machine['system_id']}/")
