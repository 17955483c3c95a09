"""The page of a NIC changes that NIC only."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.tables import rows
from tests.integration.test_audit_api import trail
from tests.integration.test_nic_links import NETWORKS, Nic, ready, subnet
from tests.integration.web_client import WebClient
from tests.waiting import settle

GATEWAYS = "select name, gateway_versions from machine_nic order by name"


@pytest.fixture
def nic(innkeeper: Deployment) -> Nic:
    """`eth0`, which has the default route of IPv4; that of IPv6 goes through `eth1` of the same VM."""

    async def prepare() -> Nic:
        await add_administrator_with_password(innkeeper)
        await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
        lan = await subnet(innkeeper, "10.2.0.0/24")
        await innkeeper.post("subnets/", cidr="fd00:2::/64", vlan=lan["vlan"]["id"], gateway_ip="fd00:2::1")
        await innkeeper.put(f"subnets/{(await subnet(innkeeper))['id']}/", gateway_ip="10.1.0.1")
        nic = await ready(innkeeper, interfaces="eth0:subnet_cidr=10.1.0.0/24;eth1:subnet_cidr=10.2.0.0/24")
        await nic.link("AUTO", default_gateway="true")
        await Nic(innkeeper, nic.system_id, "eth1").link("AUTO", "fd00:2::/64", default_gateway="true")
        return nic

    return settle(prepare())


async def test_unticking_a_default_route_needs_nothing_of_others(innkeeper: Deployment, nic: Nic) -> None:
    """The route of `eth1` could not be chosen again: its subnet has no gateway any more."""
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    await innkeeper.put(f"subnets/{(await subnet(innkeeper, 'fd00:2::/64'))['id']}/", gateway_ip="")
    path = f"/MAAS/ui/vms/{nic.system_id}/network/{(await innkeeper.get(nic.path))['id']}"
    csrf = (await client.get(path)).csrf
    form = {"mode": "AUTO", "subnet": "10.1.0.0/24", "name": "uplink0", "tags": ""}
    assert (await client.post(path, None, csrf=csrf, **form)).status == 303
    assert await rows(innkeeper, GATEWAYS) == [("eth1", [6]), ("uplink0", [])]
    recorded = await trail(innkeeper, action="Interface.clear_default_gateway")
    assert [one["username"] for one in recorded] == ["mira"]


@pytest.mark.parametrize("changed", [{}, {"mode": "STATIC", "ip_address": "10.1.0.77"}])
async def test_unticking_a_default_route_keeps_those_of_others(
    innkeeper: Deployment, nic: Nic, changed: dict[str, str]
) -> None:
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    read = await innkeeper.get(nic.path)
    path = f"/MAAS/ui/vms/{nic.system_id}/network/{read['id']}"
    csrf = (await client.get(path)).csrf
    assert await rows(innkeeper, GATEWAYS) == [("eth0", [4]), ("eth1", [6])]
    form = {"mode": "AUTO", "subnet": "10.1.0.0/24", "name": "eth0", "tags": "", **changed}
    assert (await client.post(path, None, csrf=csrf, **form)).status == 303
    assert await rows(innkeeper, GATEWAYS) == [("eth0", []), ("eth1", [6])]
    assert await nic.links() == [("static", "10.1.0.77") if changed else ("auto", "10.1.0.2")]
