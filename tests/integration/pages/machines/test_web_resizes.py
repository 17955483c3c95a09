"""The page that resizes a VM: refused in numbers with what was entered, done at once, and pending."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.browser.support.fleet import PASSWORD
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import ids
from tests.integration.machines.bulk.test_bulk_resize import composed, sizes
from tests.integration.machines.hardware.test_resize import refuse
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import Answer, WebClient

__all__ = ["client"]


@pytest.mark.slow
async def test_a_vm_is_resized_on_its_page(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    machine = await innkeeper.compose(host["id"], hostname="web", cores=2, memory=2048, power_on="true")
    vm, path = f"vms/{machine['system_id']}", f"vms/{machine['system_id']}/resize"
    assert f'href="/MAAS/ui/{path}"' in await page(client, vm)
    assert "The VM runs." in await page(client, path)
    before = {"was-cores": "2", "was-memory": "2048", "csrf": (await client.get(f"/MAAS/ui/{path}")).csrf}
    refused = await client.post(f"/MAAS/ui/{path}", None, cores="2", memory="99999", **before)
    assert refused.status == 503
    assert "memory: 97951 MiB more asked, 14336 of 16384 claimable left" in refused.text
    assert 'value="99999"' in refused.text
    done = await client.post(f"/MAAS/ui/{path}", None, cores="4", memory="4096", **before)
    assert (done.status, done.headers.get("location")) == (303, f"/MAAS/ui/{vm}")
    text = await page(client, vm)
    assert ("4 cores" in text, "4 GiB after its next start" in text) == (True, True)


async def test_a_size_that_a_start_was_refused_is_shown_with_its_reason(
    innkeeper: Deployment, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    machine = await innkeeper.compose(host["id"], hostname="web", cores=2, memory=2048, power_on="true")
    await innkeeper.post(f"machines/{machine['system_id']}/", op="resize", memory=4096)
    assert "size-refusal" not in await page(client, f"vms/{machine['system_id']}")
    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.resizing.check_resizable", refuse)
        await innkeeper.post(f"machines/{machine['system_id']}/", op="power_cycle")
    for path in (f"vms/{machine['system_id']}", f"vms/{machine['system_id']}/resize"):
        text = await page(client, path)
        assert ("sim did not give it 2 cores and 4 GiB of RAM" in text, "not this size" in text) == (True, True)


async def ask(client: WebClient, machines: list[str], action: str = "resize", **fields: str) -> Answer:
    """Sends the selected VMs with the fields to the page of an action on many."""
    await client.log_in("mira", PASSWORD)
    form = [("csrf", (await client.get("/MAAS/ui/account")).csrf), ("action", action), *fields.items()]
    return await client.send(
        "POST", "/MAAS/ui/vms/bulk", body=urlencode([*form, *(("selected", one) for one in machines)])
    )


@pytest.mark.slow
async def test_many_vms_are_resized_once_the_page_has_said_what_changes(
    innkeeper: Deployment, client: WebClient
) -> None:
    machines = ids(await composed(innkeeper, 3, cores=4))
    first = await ask(client, machines)
    assert (first.status, "Show what changes" in first.text, 'name="plan"' in first.text) == (200, True, False)
    neither = await ask(client, machines, confirmed="yes")
    assert (neither.status, "Name the cores, the memory or both." in neither.text) == (422, True)
    small = await ask(client, machines, confirmed="yes", memory="12")
    assert (small.status, 'id="memory-error"' in small.text) == (422, True)
    shown = await ask(client, machines, confirmed="yes", cores="2", memory="2048")
    assert (shown.status, "Resize 3 VMs" in shown.text, shown.text.count("stays as it is")) == (200, True, 2)
    assert "cores: 1 more asked, 0 of 4 claimable left" in shown.text
    assert set((await sizes(innkeeper)).values()) == {(1, 1024, None)}
    plan = shown.hidden["plan"]
    other = await ask(client, machines, confirmed="yes", cores="3", plan=plan)
    assert (other.status, "This changed since the page was shown" in other.text) == (409, True)
    done = await ask(client, machines, confirmed="yes", cores="2", memory="2048", plan=plan, at_once="1")
    assert done.status == 303
    (task,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "bulk"]
    assert await innkeeper.ended(task["id"]) == "failed"
    assert sorted(cores for cores, _, _ in (await sizes(innkeeper)).values()) == [1, 1, 2]
    text = await page(client, f"tasks/{task['id']}")
    assert ("Resize 3 VMs" in text, "2 GiB" in text) == (True, True)
    again = await ask(client, machines, cores="2", memory="2048")  # as the task's page offers it
    assert (again.status, "Resize 3 VMs" in again.text, 'value="2048"' in again.text) == (200, True, True)
