"""The pages of MAAS servers, of a VM's registration in one, and the choice of a server when a VM is composed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.rigs.maas_bridge import composed, maas
from tests.integration.support.web_client import Answer, WebClient
from tests.maas_api.bridge_server import KEY, RecordedMaas
from tests.support.waiting import eventually

__all__ = ["client", "maas"]


async def sent(client: WebClient, path: str, **fields: str) -> Answer:
    """Sends the form of a page, with what it has in hidden fields."""
    text = await page(client, path)
    form = re.findall(r'<form[^>]*method="post".*?</form>', text.partition("<main")[2], re.DOTALL)[0]
    hidden = dict(re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)">', form))
    return await client.post(f"/MAAS/ui/{path}", None, **{**hidden, **fields})


async def add(client: WebClient, maas: RecordedMaas, **fields: str) -> Answer:
    maas.starts_machines = False
    return await sent(client, "settings/new-maas", name="metal", url=maas.url, **{"key": KEY, **fields})


@pytest.mark.slow
async def test_a_server_is_added_checked_and_removed(
    innkeeper: Deployment, client: WebClient, maas: RecordedMaas
) -> None:
    assert "No MAAS servers" in await page(client, "settings/maas")
    refused = await add(client, maas, key="a:b")
    assert (refused.status, "three parts" in refused.text, "a:b" in refused.text) == (422, True, False)
    assert (await add(client, maas)).status == 303
    text = await page(client, "settings/maas")
    assert ("metal" in text, "MAAS 4.0.0, key of admin" in text, KEY in text) == (True, True, False)
    maas.is_down = True
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', text)[0]
    failed = await client.post("/MAAS/ui/settings/maas/metal/check", None, csrf=csrf)
    assert (failed.status, "503" in failed.text) == (503, True)
    assert "503" in await page(client, "settings/maas")
    assert (await sent(client, "settings/maas/metal/delete", confirmed="yes", typed="metal")).status == 303
    assert await innkeeper.get("maas-servers/") == []


@pytest.mark.slow
async def test_a_vm_is_registered_on_its_page(innkeeper: Deployment, client: WebClient, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await add(client, maas)
    path = f"vms/{machine['system_id']}"
    assert "not registered" in await page(client, f"{path}/configuration")
    assert (await sent(client, f"{path}/maas", server="metal", how="wait")).status == 303

    async def id_there() -> Any:
        return (await innkeeper.get(f"machines/{machine['system_id']}/"))["maas_system_id"]

    id_ = await eventually(id_there)
    assert f"registered in metal as {id_}" in await page(client, f"{path}/configuration")
    assert maas.machines.find(id_).status == 0
    assert (await sent(client, f"{path}/maas", server="")).status == 303
    await eventually(lambda: not maas.machines.all)


async def test_a_vm_is_composed_for_a_maas(innkeeper: Deployment, client: WebClient, maas: RecordedMaas) -> None:
    await innkeeper.add_simulated()
    await add(client, maas)
    assert 'name="register_in_maas"' in await page(client, "compose")
    fields = {"action": "compose", "count": "1", "cores": "1", "memory": "2048", "disk0-size": "8", "hostname": "web"}
    assert (await sent(client, "compose", register_in_maas="metal", **fields)).status == 303
    await eventually(lambda: [one.hostname for one in maas.machines.all.values()] == ["web"])
