"""The pages of disks: added, grown, removed and kept, attached to another VM, and deleted."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import Answer, WebClient

__all__ = ["client"]
UI = "/MAAS/ui/"


async def disks_of(innkeeper: Deployment, machine: Any) -> dict[str, Any]:
    """Returns the disks by name."""
    found = await innkeeper.get(f"nodes/{machine['system_id']}/blockdevices/")
    return {one["name"]: one for one in found}


async def send(client: WebClient, path: str, **form: str) -> Answer:
    """Sends the form of a page after reading it, with its hidden fields."""
    shown = await client.get(UI + path)
    return await client.post(UI + path, None, **{"csrf": shown.csrf, **shown.hidden, **form})


async def carry_out(innkeeper: Deployment, client: WebClient, path: str, **form: str) -> None:
    """Sends the form of a page and waits for its task."""
    answer = await send(client, path, **form)
    assert answer.status == 303, answer.text
    newest = max(one["id"] for one in await innkeeper.get("operations/"))
    assert await innkeeper.ended(newest) == "succeeded"


@pytest.mark.slow
async def test_a_disk_is_added_and_grown_on_its_pages(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384, pools="local:500,nvme:200")
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:8", power_on="true")
    storage = f"vms/{machine['system_id']}/storage"
    text = await page(client, storage)
    assert (f'href="{UI}{storage}/add"' in text, "Attach a kept disk" in text) == (True, False)
    assert "/remove" not in text
    assert "nvme, 200 GB free" in await page(client, f"{storage}/add")
    refused = await send(client, f"{storage}/add", size="900", pool="nvme", tags="")
    assert (refused.status, "cannot give web the disk" in refused.text) == (503, True)
    await carry_out(innkeeper, client, f"{storage}/add", size="20", pool="nvme", tags="fast, ssd")
    disks = await disks_of(innkeeper, machine)
    assert (disks["sdb"]["size"], disks["sdb"]["storage_pool_name"]) == (20_000_000_000, "nvme")
    assert sorted(disks["sdb"]["tags"]) == ["fast", "ssd"]
    grow = f"{storage}/{disks['sdb']['id']}/grow"
    smaller = await send(client, grow, size="10", **{"was-size": "20"})
    assert (smaller.status, "A disk can only grow." in smaller.text) == (422, True)
    await carry_out(innkeeper, client, grow, size="30", **{"was-size": "20"})
    assert "30 GB at the next start" in await page(client, storage)
    await carry_out(innkeeper, client, grow, size="20", **{"was-size": "30"})
    assert "GB at the next start" not in await page(client, storage)


@pytest.mark.slow
async def test_a_disk_is_kept_attached_elsewhere_and_deleted(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    web = await innkeeper.compose(host["id"], hostname="web", storage="root:8,data:5")
    other = await innkeeper.compose(host["id"], hostname="db")
    data = (await disks_of(innkeeper, web))["sdb"]
    removal = f"vms/{web['system_id']}/storage/{data['id']}/remove"
    asked = await page(client, removal)
    assert ("is kept with its content" in asked, "all data on it are deleted" in asked) == (True, True)
    assert re.search(r'value="keep" [^>]*checked', asked)
    untyped = await send(client, removal, content="delete", typed="")
    assert (untyped.status, 'id="typed-error"' in untyped.text) == (422, True)
    await carry_out(innkeeper, client, removal, content="keep")
    assert list(await disks_of(innkeeper, web)) == ["sda"]
    (kept,) = await innkeeper.get("kept-disks/")
    resources = await page(client, f"hosts/{host['id']}/resources")
    assert ("data of web" in resources, "not found by the last refresh" in resources) == (True, False)
    assert "Attach a kept disk" in await page(client, f"vms/{other['system_id']}/storage")
    attach = f"vms/{other['system_id']}/storage/attach"
    nothing = await send(client, attach)
    assert (nothing.status, "Choose a disk." in nothing.text) == (422, True)
    await carry_out(innkeeper, client, attach, kept_disk=str(kept["id"]))
    attached = (await disks_of(innkeeper, other))["sdb"]
    assert attached["size"] == data["size"]
    removal = f"vms/{other['system_id']}/storage/{attached['id']}/remove"
    await carry_out(innkeeper, client, removal, content="keep")
    (kept,) = await innkeeper.get("kept-disks/")
    deletion = f"hosts/{host['id']}/kept-disks/{kept['id']}/delete"
    assert (await send(client, deletion, typed="web")).status == 422
    await carry_out(innkeeper, client, deletion, typed="db")
    assert await innkeeper.get("kept-disks/") == []


async def test_the_data_of_a_disk_are_deleted_after_the_name(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:8,data:5")
    data = (await disks_of(innkeeper, machine))["sdb"]
    removal = f"vms/{machine['system_id']}/storage/{data['id']}/remove"
    await page(client, removal)
    await carry_out(innkeeper, client, removal, content="delete", typed="web")
    assert list(await disks_of(innkeeper, machine)) == ["sda"]
    assert await innkeeper.get("kept-disks/") == []


@pytest.mark.slow
async def test_a_disk_moves_on_its_page(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384, pools="local:500,nvme:200,small:1")
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:8,data:5", power_on="true")
    disks = await disks_of(innkeeper, machine)
    storage = f"vms/{machine['system_id']}/storage"
    move = f"{storage}/{disks['sdb']['id']}/move"
    assert f'href="{UI}{move}"' in await page(client, storage)
    assert "nvme, 200 GB free" in await page(client, move), "also while the VM runs"
    await innkeeper.post(f"machines/{machine['system_id']}/", op="power_off")
    shown = await page(client, move)
    assert ("nvme, 200 GB free" in shown, "local, " in shown) == (True, False)
    for pool, status, said in (("", 422, "Choose a storage pool."), ("small", 503, "cannot give web the disk")):
        refused = await send(client, move, pool=pool)
        assert (refused.status, said in refused.text) == (status, True)
    await carry_out(innkeeper, client, move, pool="nvme")
    assert (await disks_of(innkeeper, machine))["sdb"]["storage_pool_name"] == "nvme"


async def test_without_another_storage_pool_the_page_says_so(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:8")
    (root,) = (await disks_of(innkeeper, machine)).values()
    shown = await page(client, f"vms/{machine['system_id']}/storage/{root['id']}/move")
    assert "sim has no other storage pool that can take the disk." in shown
