"""The page that clones VMs over HTTP: one leads to its page, several to their task."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_clones import composed
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually


@pytest.mark.slow
async def test_several_clones_lead_to_their_task(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    source = await composed(innkeeper)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    path = f"/MAAS/ui/vms/{source['system_id']}/clone"
    form = await client.get(path)
    assert (form.status, 'value="1"' in form.text.split('id="count"')[1].split(">")[0]) == (200, True)
    once = form.text.split('name="once" value="')[1].partition('"')[0]
    fields = {"csrf": form.csrf, "once": once, "hostname": "copy", "cores": "1", "memory": "", "storage_pool": ""}
    too_many = await client.post(path, None, **fields, count="21")
    assert (too_many.status, 'id="count-error"' in too_many.text) == (422, True)
    answer = await client.post(path, None, **fields, count="3")
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk"]
    assert (answer.status, answer.headers["Location"]) == (303, f"/MAAS/ui/tasks/{task['id']}")
    assert await innkeeper.ended(task["id"]) == "succeeded"
    page = (await client.get(answer.headers["Location"])).text
    assert all(part in page for part in ("Compose 3 clones", "copy-1", "copy-3", "3 of 3", ">Cores<"))
    again = await client.post(path, None, **fields, count="3")
    assert again.headers["Location"] == answer.headers["Location"]


async def test_a_failed_clone_is_repeated_with_what_was_asked_for(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    source = await composed(innkeeper)
    with innkeeper.simulated().hold("copy content of guest"):
        operation = await innkeeper.begin(
            f"machines/{source['system_id']}/", op="clone", hostname="copy", memory=2048, storage_pool="nvme"
        )
        await eventually(lambda: innkeeper.simulated().is_holding())
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    page = (await client.get(f"/MAAS/ui/tasks/{operation}")).text
    path = f"/MAAS/ui/vms/{source['system_id']}/clone"
    again = path + page.partition(f'"{path}')[2].partition('"')[0].replace("&amp;", "&")
    form = (await client.get(again)).text
    values = {name: form.split(f'id="{name}"')[1].split(">")[0] for name in ("hostname", "cores", "memory")}
    assert 'value="copy"' in values["hostname"]
    assert 'value="2048"' in values["memory"]
    assert 'value="2"' not in values["cores"], "that is the source's"
    assert "storage_pool=nvme" in again


async def test_a_failed_series_is_repeated_on_the_page_of_clones(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    source = await composed(innkeeper, pools="local:30,nvme:20")
    begun = await innkeeper.post(f"machines/{source['system_id']}/", op="clone", count=3, hostname="copy")
    assert await innkeeper.ended(begun["id"]) == "failed"
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    page = await client.get(f"/MAAS/ui/tasks/{begun['id']}")
    assert page.status == 200
    again = f"/MAAS/ui/vms/{source['system_id']}/clone?hostname=copy-"
    assert again in page.text
    form = await client.get(again + page.text.partition(again)[2].partition('"')[0].replace("&amp;", "&"))
    assert 'value="copy-' in form.text.split('id="hostname"')[1].split(">")[0]
    for name in ("copy-1", "copy-2", "copy-3"):
        assert name in page.text
