"""Trust of libvirt hosts over SSH in a browser: our key, and which server a host is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment
    from tests.doubles.libvirt_double import FakeKvms


@pytest.fixture
def kvms(tmp_path: Path) -> FakeKvms:
    """The libvirt hosts that the rack reaches; a test adds them."""
    from tests.doubles.libvirt_double import FakeKvms

    return FakeKvms(tmp_path / "simulated")


@pytest.fixture
def innkeeper(kvms: FakeKvms, tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    from tests.deployment.in_process import deployed  # not before pytest has installed its reactor

    deployment = deployed(tmp_path, database_url, drivers=kvms.drivers)
    started = settle(deployment.__aenter__())
    settle(started.region.components.schedule.stop())
    settle(started.start_rack())
    yield started
    settle(deployment.__aexit__(None, None, None))


@pytest.fixture
def mira(chromium: Browser, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


async def add(mira: Visitor, name: str, address: str | None = None) -> None:
    await mira.go("hosts/add?type=virsh")
    await mira.page.fill("#name", name)
    await mira.page.fill("#power_address", address or f"qemu+ssh://root@{name}/system")
    await mira.page.get_by_role("button", name="Add host").click()
    await mira.page.wait_for_url("**/hosts/add?step=*&host=*")


async def test_a_host_that_refuses_our_key_shows_the_line_and_is_tried_on_request(
    mira: Visitor, kvms: FakeKvms
) -> None:
    host = kvms.add("oak", str(uuid4()), accepts_key=False)
    await add(mira, "oak")
    waiting = mira.page.locator("#add-waiting")
    await expect(waiting).to_contain_text("Waiting for oak to accept our SSH key")
    assert (await mira.page.inner_text("#ssh-key")).startswith("ssh-ed25519 ")
    for width, dark in ((1400, False), (320, True)):
        assert await mira.look("trust-key", width=width, dark=dark) == []
    host.accepts_key = True
    await waiting.get_by_role("button", name="Try now").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")


async def test_a_host_that_reports_the_server_of_another_is_confirmed(mira: Visitor, kvms: FakeKvms) -> None:
    kvms.add("oak", str(uuid4()))
    kvms.hosts["local"] = kvms.hosts["oak"]
    await add(mira, "oak")
    await mira.page.wait_for_url("**/hosts/add?step=check&host=1")
    await add(mira, "local", "qemu:///system")
    await mira.page.wait_for_url("**/hosts/add?step=trust&host=2")
    await expect(mira.page.locator("#add-advice")).to_contain_text("reports that it is the server of another host")
    for width, dark in ((1400, False), (320, True)):
        assert await mira.look("trust-server", width=width, dark=dark) == []
    await mira.page.get_by_role("button", name="They are one server").click()
    await expect(mira.page.locator("h1")).to_have_text("Is local the server of host 1?")
    await mira.page.get_by_role("button", name="They are one server").click()
    await mira.page.wait_for_url("**/hosts/add?step=check&host=2")
