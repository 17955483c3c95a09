"""The web pages of a VM that lost a volume, and of a host with a storage pool that is not available."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import lose_volume
from tests.integration.support.adoption import refresh
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle


@pytest.fixture
def client(innkeeper: Deployment) -> WebClient:
    settle(add_administrator_with_password(innkeeper))
    return WebClient(urlsplit(innkeeper.region.api_url).port or 0)


async def page(client: WebClient, path: str) -> str:
    await client.log_in("mira", PASSWORD)
    return (await client.get(f"/MAAS/ui/{path}")).text


@pytest.mark.slow
async def test_the_page_of_a_vm_says_that_it_cannot_start(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], storage="root:8,data:5")
    path = f"vms/{machine['system_id']}"
    assert "cannot start" not in await page(client, path)
    lose_volume(innkeeper, 1)
    await refresh(innkeeper, host)
    text = await page(client, path)
    assert "</a> cannot start" in text
    assert text.count(">Missing</span>") == 1
    assert "VM that cannot start" in await page(client, "settings/discrepancies")


async def test_the_pages_of_a_host_name_a_pool_that_is_unavailable(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(pools="fast:50,big:200:unavailable")
    for tab in ("vms", "resources"):
        assert "Storage pool big of sim</a> is unavailable" in await page(client, f"hosts/{host['id']}/{tab}")
    text = await page(client, f"hosts/{host['id']}/resources")
    assert ">Unavailable</span>" in text
    assert ("free of 50 GB" in text, "free of 200 GB" in text) == (True, False)
    assert "(dir, 200 GB, unavailable)" in await page(client, f"hosts/add?step=check&host={host['id']}")
