"""The form that composes VMs over HTTP: it leads to the VM, whose page also says why it was not created."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from regiond.operations.model import Operation
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import Answer, WebClient
from tests.support.waiting import eventually, settle

SIZE = {"cores": "1", "memory": "1024", "disk0-size": "8"}


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    settle(innkeeper.add_simulated())
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    settle(client.log_in("mira", PASSWORD))
    return client


async def compose(client: WebClient, **fields: str) -> Answer:
    page = await client.get("/MAAS/ui/compose")
    form = {"csrf": page.csrf, "action": "compose", "count": "1", **SIZE, **fields}
    return await client.post("/MAAS/ui/compose", None, **form)


async def task_of_compose(innkeeper: Deployment) -> Any:
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    return task


async def test_a_compose_leads_to_its_vm_with_a_note(innkeeper: Deployment, client: WebClient) -> None:
    with innkeeper.held("create volume"):
        answer = await compose(client, hostname="web-1")
        (machine,) = await innkeeper.get("machines/")
        assert (answer.status, answer.headers["Location"]) == (303, f"/MAAS/ui/vms/{machine['system_id']}")
        page = await client.get(answer.headers["Location"])
    task = await task_of_compose(innkeeper)
    assert page.status == 200
    assert f'id="note-task" href="/MAAS/ui/tasks/{task["id"]}"' in page.text


async def test_the_page_of_a_vm_says_why_it_was_not_created(innkeeper: Deployment, client: WebClient) -> None:
    with innkeeper.held("create volume"):
        answer = await compose(client, hostname="web-1")
        task = await task_of_compose(innkeeper)
        await innkeeper.cancel(task["id"])
    assert await innkeeper.ended(task["id"]) == "cancelled"
    for path in (answer.headers["Location"], "/MAAS/ui/attention"):
        page = await client.get(path)
        assert page.status == 200
        assert "was not created" in page.text
        assert "The operation was cancelled." in page.text


async def test_a_compose_that_has_failed_already_leads_to_its_task(
    innkeeper: Deployment, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def has_failed(_: object) -> bool:
        return False

    monkeypatch.setattr(innkeeper.region.components.services.machines, "announce", has_failed)
    answer = await compose(client)
    assert answer.headers["Location"] == f"/MAAS/ui/tasks/{(await task_of_compose(innkeeper))['id']}"


async def test_composes_of_several_lead_to_a_list_of_these(innkeeper: Deployment, client: WebClient) -> None:
    await innkeeper.compose(1, hostname="other", cores=1, memory=1024)
    answer = await compose(client, hostname="row", count="2")
    address = answer.headers["Location"]
    assert (answer.status, address.partition("?")[0]) == (303, "/MAAS/ui/vms")
    page = (await client.get(address)).text
    assert "2 VMs are being composed." in page
    shown = page[page.index("<main") :]
    assert ">row-1<" in shown
    assert ">row-2<" in shown
    assert ">other<" not in shown
    (tasks,) = [one for one in page.split('"') if one.startswith("/MAAS/ui/compose/started?")]
    page = (await client.get(tasks)).text
    assert "row-2" in page

    async def are_ready() -> bool:
        return {one["status_name"] for one in await innkeeper.get("machines/")} == {"Ready", "Allocated"}

    await eventually(are_ready)


async def test_of_several_composes_one_that_has_failed_is_shown(
    innkeeper: Deployment, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = innkeeper.region.components.services
    announce, announced = services.machines.announce, []

    async def has_failed_once(task: Operation) -> bool:
        announced.append(task.id)
        return False if len(announced) == 1 else await announce(task)

    monkeypatch.setattr(services.machines, "announce", has_failed_once)
    with innkeeper.held("create volume"):
        answer = await compose(client, count="3")
        assert answer.headers["Location"].startswith("/MAAS/ui/compose/started?")
        await innkeeper.fetch("update operation set state = 'failed', finished_at = now() where id = $1", announced[0])
        page = (await client.get(answer.headers["Location"])).text
    assert "2 of 3 VMs are being composed" in page
    assert all(f"/MAAS/ui/tasks/{task}" in page for task in announced)


async def test_an_id_in_the_address_selects_its_host(innkeeper: Deployment, client: WebClient) -> None:
    (host,) = await innkeeper.get("vm-hosts/")
    page = await client.get(f"/MAAS/ui/compose?host={host['id']}")
    assert f'<option value="{host["name"]}" selected>' in page.text
    assert "(unknown)" not in page.text
    assert "99 (unknown)" in (await client.get("/MAAS/ui/compose?host=99")).text
