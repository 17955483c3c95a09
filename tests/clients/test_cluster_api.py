"""cluster-api-provider-maas on simulated hosts."""

from __future__ import annotations

from tests.clients.calls import CLUSTER_API
from tests.clients.client_host import simulated_host
from tests.clients.exact_bytes import ClusterApi
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.cluster_api import hmac_key, node
from tests.deployment.deployment import Deployment


async def test_cluster_api_makes_a_node_and_its_name(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "capi")
    added = await innkeeper.post("vm-hosts/", type=host.type, power_address=host.address)
    async with recording(innkeeper.api.url) as proxy:
        await node(ClusterApi.to(proxy.url, await hmac_key(innkeeper)), added, host)
    CLUSTER_API.check(proxy.calls)


async def test_another_signature_is_refused(innkeeper: Deployment) -> None:
    key = await hmac_key(innkeeper)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    client = ClusterApi.to(innkeeper.api.url.removesuffix("/api/2.0/"), wrong)
    assert (await client.get("zones/")).status == 401
