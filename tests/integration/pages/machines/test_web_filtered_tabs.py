"""The tabs of tasks and events of a VM and of a host over HTTP: they have the filters of the lists, and their files."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    settle(innkeeper.add_simulated("alder"))
    settle(innkeeper.add_simulated("birch"))
    for name, host in (("web-1", "alder"), ("web-2", "birch")):
        settle(innkeeper.compose(innkeeper.hosts[host], hostname=name, cores=1, memory=1024))
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def system_id(innkeeper: Deployment, name: str) -> str:
    (machine,) = await innkeeper.get(f"machines/?hostname={name}")
    return str(machine["system_id"])


async def content(client: WebClient, path: str) -> str:
    answer = await client.get(f"/MAAS/ui/{path}")
    assert answer.status == 200
    return answer.text[answer.text.index("<main") : answer.text.index("</main>")]


def files(page: str) -> dict[str, str]:
    """The addresses of the files of a list, by the end of their label."""
    found = re.findall(r'href="([^"]*export[^"]*)" download>(?:(?!</a>).)*Export (\w+)<', page, re.DOTALL)
    return {kind: unescape(address) for address, kind in found}


@pytest.mark.slow
async def test_the_tasks_of_a_vm_are_filtered(innkeeper: Deployment, client: WebClient) -> None:
    web = await system_id(innkeeper, "web-1")
    await innkeeper.post(f"machines/{web}/", op="power_on")
    path = f"vms/{web}/tasks"
    page = await content(client, path)
    assert ("Compose web-1" in page, "Start web-1" in page, "web-2" in page) == (True, True, False)
    assert 'name="host"' not in page
    page = await content(client, f"{path}?kind=power")
    assert ("Compose web-1" in page, "Start web-1" in page) == (False, True)
    assert "No task matches" in await content(client, f"{path}?show=failed")
    assert "web-2" not in await content(client, f"{path}?vm={await system_id(innkeeper, 'web-2')}")
    refused = await client.get(f"/MAAS/ui/{path}?since=yesterday")
    assert (refused.status, 'id="since-error"' in refused.text) == (422, True)


async def test_the_tasks_of_a_host_are_filtered(innkeeper: Deployment, client: WebClient) -> None:
    path = f"hosts/{innkeeper.hosts['alder']}/tasks"
    page = await content(client, path)
    assert ("Refresh alder" in page, "Compose web-1" in page, "birch" in page) == (True, True, False)
    page = await content(client, f"{path}?kind=compose&q=web")
    assert ("Refresh alder" in page, "Compose web-1" in page) == (False, True)
    assert "No task matches" in await content(client, f"{path}?user=ann")
    text = (await client.get(files(page)["CSV"])).text
    assert [(one["kind"], one["hostname"]) for one in csv.DictReader(io.StringIO(text))] == [("compose", "web-1")]


async def test_the_file_of_a_vms_tasks_has_only_these(innkeeper: Deployment, client: WebClient) -> None:
    page = await content(client, f"vms/{await system_id(innkeeper, 'web-2')}/tasks")
    found = json.loads((await client.get(files(page)["JSON"])).text)
    assert [(one["kind"], one["hostname"]) for one in found] == [("compose", "web-2")]


async def test_the_events_of_a_vm_are_filtered(innkeeper: Deployment, client: WebClient) -> None:
    web = await system_id(innkeeper, "web-1")
    path = f"vms/{web}/events"
    page = await content(client, path)
    assert ("web-1 was composed" in page, "web-2" in page, "alder was added" in page) == (True, False, False)
    assert "No event matches" in await content(client, f"{path}?level=error")
    assert "web-1 was composed" in await content(client, f"{path}?kind=machine_composed&user=admin")
    refused = await client.get(f"/MAAS/ui/{path}?level=loud")
    assert (refused.status, 'id="level-error"' in refused.text) == (422, True)
    lines = (await client.get(files(page)["JSON"])).text.splitlines()
    assert lines
    assert {json.loads(line)["node"] for line in lines} == {web}


@pytest.mark.slow
async def test_the_events_of_a_host_are_filtered(innkeeper: Deployment, client: WebClient) -> None:
    path = f"hosts/{innkeeper.hosts['alder']}/events"
    page = await content(client, path)
    assert ("web-1 was composed" in page, "web-2" in page, "birch" in page) == (True, False, False)
    page = await content(client, f"{path}?q=composed")
    assert page.count('<tr id="event-') == 1
    page = await content(client, f"{path}?vm={await system_id(innkeeper, 'web-2')}")
    assert "No event matches" in page


@pytest.mark.slow
async def test_the_list_of_tasks_can_be_of_one_vm(innkeeper: Deployment, client: WebClient) -> None:
    page = await content(client, f"tasks?vm={await system_id(innkeeper, 'web-1')}")
    assert ("Compose web-1" in page, "web-2" in page, 'name="vm"' in page) == (True, False, True)
