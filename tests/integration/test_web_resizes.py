"""The page that resizes a VM: refused in numbers with what was entered, done at once, and pending."""

from __future__ import annotations

from tests.deployment.deployment import Deployment
from tests.integration.test_web_lost_storage import client, page
from tests.integration.web_client import WebClient

__all__ = ["client"]


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
