"""The list of VMs: disks, NICs and a boot order for many, once the page has said what changes."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import ids
from tests.integration.machines.bulk.test_bulk_hardware import disks, nics
from tests.integration.machines.bulk.test_bulk_resize import composed
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.pages.machines.test_web_resizes import ask
from tests.integration.support.web_client import WebClient

__all__ = ["client"]


async def done(innkeeper: Deployment, client: WebClient, vms: list[str], action: str, **fields: str) -> str:
    """Answers the question twice, as a person does: with the fields, then to the plan. Returns the task's path."""
    asked = await ask(client, vms, action)
    assert (asked.status, "Show what changes" in asked.text, 'name="plan"' in asked.text) == (200, True, False)
    shown = await ask(client, vms, action, confirmed="yes", **fields)
    assert (shown.status, 'name="plan"' in shown.text) == (200, True)
    begun = await ask(client, vms, action, confirmed="yes", plan=shown.hidden["plan"], at_once="1", **fields)
    assert begun.status == 303
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk"]
    assert await innkeeper.ended(task["id"]) == "succeeded"
    return f"tasks/{task['id']}"


@pytest.mark.slow
async def test_many_vms_get_a_disk(innkeeper: Deployment, client: WebClient) -> None:
    vms = ids(await composed(innkeeper, 2))
    missing = await ask(client, vms, "disk", confirmed="yes")
    assert (missing.status, 'id="size-error"' in missing.text) == (422, True)
    wrong = await ask(client, vms, "disk", confirmed="yes", size="3", disk_tags="a!")
    assert (wrong.status, 'id="disk_tags-error"' in wrong.text) == (422, True)
    task = await done(innkeeper, client, vms, "disk", size="3", disk_tags="data, ssd")
    assert [sizes[1:] for sizes in (await disks(innkeeper)).values()] == [[3], [3]]
    text = await page(client, task)
    assert ("Add a disk to 2 VMs" in text, "3 GB" in text, "data, ssd" in text) == (True, True, True)


@pytest.mark.slow
async def test_many_vms_get_a_nic(innkeeper: Deployment, client: WebClient) -> None:
    vms = ids(await composed(innkeeper, 2))
    wrong = await ask(client, vms, "nic", confirmed="yes", interfaces="eth1:ip=10.0.0.9")
    assert (wrong.status, "A static address is for one machine" in wrong.text) == (422, True)
    task = await done(innkeeper, client, vms, "nic")
    assert set(map(tuple, (await nics(innkeeper)).values())) == {("eth0", "eth1")}
    assert "Add a NIC to 2 VMs" in await page(client, task)


@pytest.mark.slow
@pytest.mark.parametrize("once", ["", "true"])
async def test_many_vms_get_a_boot_order(innkeeper: Deployment, client: WebClient, once: str) -> None:
    vms = ids(await composed(innkeeper, 2))
    task = await done(innkeeper, client, vms, "boot", order="disk,network", next_only=once)
    name = "boot_once" if once else "boot_order"
    assert [one[name] for one in await innkeeper.get("machines/")] == [["disk", "network"]] * 2
    text = await page(client, task)
    assert ("Set boot order of 2 VMs" in text, "disk, then network" in text) == (True, True)
    assert ("Only at the next start" in text) == bool(once)
