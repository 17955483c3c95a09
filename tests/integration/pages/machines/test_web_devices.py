"""Devices on other pages over HTTP: the search finds them, and their VM links to them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle

MAC = "52:54:00:aa:00:01"


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def results(client: WebClient, text: str) -> str:
    page = (await client.get(f"/MAAS/ui/search?q={quote(text)}")).text
    return page[page.index('id="results"') :]


@pytest.mark.slow
async def test_the_search_finds_devices(innkeeper: Deployment, client: WebClient) -> None:
    device = await innkeeper.post("devices/", hostname="printer", mac_addresses=MAC, description="second floor")
    link = f'href="/MAAS/ui/networks/devices/{device["system_id"]}"'
    for text in ("print", "AA:00:01", "Floor", device["system_id"]):
        assert link in await results(client, text), text
    assert "printer" not in await results(client, "scanner")


@pytest.mark.slow
async def test_the_search_counts_the_devices_that_it_does_not_show(innkeeper: Deployment, client: WebClient) -> None:
    for number in range(9):
        await innkeeper.post("devices/", hostname=f"box-{number}", mac_addresses=f"{MAC[:-1]}{number}")
    found = await results(client, "box")
    assert found.count('href="/MAAS/ui/networks/devices/') == 8
    assert 'href="/MAAS/ui/networks/devices?q=box">All 9 devices<' in found


@pytest.mark.slow
async def test_a_vm_links_to_its_devices(innkeeper: Deployment, client: WebClient) -> None:
    await innkeeper.add_simulated()
    await innkeeper.compose(1, hostname="web-1")
    machine = await innkeeper.post("machines/", op="allocate", name="web-1")
    device = await innkeeper.post("devices/", hostname="box", mac_addresses=MAC, parent=machine["system_id"])
    page = (await client.get(f"/MAAS/ui/vms/{machine['system_id']}/network")).text
    assert f'href="/MAAS/ui/networks/devices/{device["system_id"]}">box</a>' in page
