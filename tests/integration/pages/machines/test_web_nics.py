"""The pages of NICs: one is added on a chosen network, and removed."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.pages.machines.test_web_disks import UI, carry_out, send
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.web_client import WebClient

__all__ = ["client"]
EMPTY = {"source": "", "ip_address": "", "name": "", "mac_address": "", "tags": ""}


@pytest.mark.slow
async def test_a_nic_is_added_and_removed_on_its_pages(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384, networks="lan:10.1.0.0/24,dmz:10.2.0.0/24:100")
    machine = await innkeeper.compose(host["id"], hostname="web", power_on="true")
    network = f"vms/{machine['system_id']}/network"
    text = await page(client, network)
    assert (f'href="{UI}{network}/add"' in text, "/remove" in text) == (True, False)
    assert "dmz (network, VLAN 100 of " in await page(client, f"{network}/add")
    refused = await send(client, f"{network}/add", **{**EMPTY, "source": "lan", "ip_address": "10.9.0.1"})
    assert (refused.status, "subnets contains 10.9.0.1" in refused.text) == (422, True)
    form = {**EMPTY, "source": "dmz", "ip_address": "10.2.0.9", "tags": "up, fast"}
    await carry_out(innkeeper, client, f"{network}/add", **form)
    (_, nic) = await innkeeper.get(f"nodes/{machine['system_id']}/interfaces/")
    assert (nic["name"], sorted(nic["tags"]), nic["links"][0]["ip_address"]) == ("eth1", ["fast", "up"], "10.2.0.9")
    await carry_out(innkeeper, client, f"{network}/add", **{**EMPTY, "name": "lan7"})
    found = await innkeeper.get(f"nodes/{machine['system_id']}/interfaces/")
    assert [one["name"] for one in found] == ["eth0", "eth1", "lan7"]
    await carry_out(innkeeper, client, f"{network}/{nic['id']}/remove")
    found = await innkeeper.get(f"nodes/{machine['system_id']}/interfaces/")
    assert [one["name"] for one in found] == ["eth0", "lan7"]
