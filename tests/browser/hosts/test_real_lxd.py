"""An LXD host in the browser, on the lab's LXD: trust by the command on the page, a pinned core, two networks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect

from tests.lab.servers.lxd_server import LxdServer, lab_server, why_no_lxd
from tests.lab.servers.needs import require
from tests.support.waiting import settle

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.support.visitor import Visitor
    from tests.deployment.deployment import Deployment

pytestmark = pytest.mark.lab
PREFIX = "ikbr-"
SUBNET = "10.254.11.0/24"


@pytest.fixture
def server() -> Iterator[LxdServer]:
    """A real LXD server with a second network; restored afterwards."""
    require(why_no_lxd())
    found = lab_server()
    with found.restored(PREFIX):
        found.lxc("network", "create", "ikbr1", f"ipv4.address={SUBNET.replace('.0/', '.1/')}", "ipv6.address=none")
        yield found
        found.sweep(PREFIX)
        found.lxc("network", "delete", "ikbr1")


@pytest.fixture
def mira(chromium: Browser, server: LxdServer, innkeeper: Deployment) -> Iterator[Visitor]:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    settle(add_administrator_with_password(innkeeper))
    came = settle(visitor(chromium, innkeeper, "mira"))
    settle(came.enter())
    yield came
    settle(came.leave())
    assert came.complaints == []


async def add_trusted(mira: Visitor, server: LxdServer, project: str) -> None:
    """By the command that the page shows, run on the server as it is written."""
    from tests.lab.hosts.test_lxd_hosts import on_the_server

    page = mira.page
    await mira.go("hosts/add?type=lxd")
    await page.fill("#name", "west")
    await page.fill("#power_address", server.address)
    await page.fill("#project", project)
    await page.get_by_role("button", name="Add host").click()
    await page.wait_for_url("**/hosts/add?step=trust&host=1")
    await expect(page.locator("main")).to_contain_text("Waiting for west to trust our certificate")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await on_the_server(server, await page.inner_text("#cmd-trust"))
    await page.wait_for_url("**/hosts/add?step=check&host=1")
    await expect(page.locator("#add-check")).to_contain_text("Connected")


async def fill_compose(page: Page, name: str, subnets: list[str]) -> None:
    """A VM with core 0 and an interface on each subnet."""
    await page.get_by_label("Pinned cores by id").check()
    await page.fill("#pinned_cores", "0")
    await page.fill("#memory", "1024")
    await page.get_by_label("Size of root in GB").fill("1")
    for number, subnet in enumerate(subnets):
        await page.get_by_role("button", name="Add interface").click()
        await page.get_by_label(f"Subnet of eth{number}").select_option(subnet)
    await page.fill("#hostname", name)


async def test_an_lxd_host_and_a_pinned_vm_come_and_go(mira: Visitor, server: LxdServer, innkeeper: Deployment) -> None:
    from tests.browser.support.whole_life import delete_machine, open_machine, press, remove_host, succeeded

    page, name = mira.page, f"{PREFIX}web"
    compose = page.locator("button.p-button--positive[value=compose]")
    with server.project(PREFIX.rstrip("-")) as project:
        await add_trusted(mira, server, project)
        subnets = [one["cidr"] for one in await innkeeper.get("subnets/")]
        # Not any other one: LXD 5.0 dies when a VM with a macvlan NIC starts on a machine without /dev/vhost-net.
        networks = await asyncio.to_thread(server.ask, "/1.0/networks?recursion=1")
        addresses = [IPv4Interface(one["config"]["ipv4.address"]) for one in networks if one["managed"]]
        own = sorted(str(address.network) for address in addresses)
        assert len(own) == 2
        assert set(own) <= set(subnets)

        await mira.go("compose?host=west")
        await fill_compose(page, name, own)
        await expect(page.locator("#preview")).to_contain_text("chosen")
        await compose.click()
        await succeeded(page)
        (machine,) = await innkeeper.get("machines/")
        assert {one["links"][0]["subnet"]["cidr"] for one in machine["interface_set"]} == set(own)

        await open_machine(mira, name)
        await page.get_by_role("link", name="Core map").click()
        await expect(page.locator("tr.is-selected")).to_contain_text(name)
        assert await mira.look("lxd-core-map", width=1400) == []

        await mira.go("compose?host=west")
        await fill_compose(page, f"{PREFIX}second", own)
        await expect(page.locator("#preview")).to_contain_text(f"core 0 is already pinned by {name}")
        mira.expected_statuses |= {409, 503}
        await compose.click()
        await expect(page.locator("#problems")).to_contain_text(f"core 0 is already pinned by {name}")
        assert await page.input_value("#hostname") == f"{PREFIX}second"

        await press(mira, name, "Start")
        assert (project, name) in await asyncio.to_thread(server.instances, PREFIX)
        await open_machine(mira, name)
        await expect(page.locator("#vm-head")).to_contain_text("Running")
        await press(mira, name, "Power off")
        await delete_machine(mira, name)
        assert await asyncio.to_thread(server.instances, PREFIX) == set()
        await remove_host(mira, 1, "west")
