"""cluster-api-provider-maas: HMAC signatures, a machine from its composition to its release, and its DNS name."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.clients.calls import CLUSTER_API
from tests.clients.exact_bytes import Answer, ClusterApi
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image


def ok(answer: Answer) -> Any:
    assert answer.status in range(200, 300), f"{answer.status}: {answer.body.decode()}"
    return answer.json if answer.body else None


async def hmac_key(innkeeper: Deployment) -> str:
    made = await innkeeper.post("account/", op="create_authorisation_token", signature_method="HMAC-SHA1")
    return f"{made['consumer_key']}:{made['token_key']}:{made['token_secret']}"


async def test_cluster_api_makes_a_node_and_its_name(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    host = await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24", host_name="capi")
    key = await hmac_key(innkeeper)
    async with recording(innkeeper.api.url) as proxy:
        client = ClusterApi.to(proxy.url, key)
        assert ok(await client.get("users/", [("op", "whoami")]))["username"] == "admin"
        server = ok(await client.get(f"machines/{host['host']['system_id']}/"))
        assert (server["power_state"], server["status_name"]) == ("on", "Deployed")
        for kind in ("resourcepools/", "zones/", "tags/"):
            ok(await client.get(kind))
        made = ok(
            await client.post("dnsresources/", [("fqdn", "api.maas"), ("address_ttl", "10"), ("ip_addresses", "")])
        )
        composed = ok(await client.post(f"vm-hosts/{host['id']}/", [("cores", "2"), ("memory", "2048")], "compose"))
        path = f"machines/{composed['system_id']}/"
        allocate = [("system_id", composed["system_id"]), ("cpu_count", "2"), ("mem", "2048")]
        assert ok(await client.post("machines/", allocate, "allocate"))["status_name"] == "Allocated"
        deploy = [("user_data", "I2Nsb3VkLWNvbmZpZwp7fQo="), ("distro_series", "noble")]
        ok(await client.post(path, deploy, "deploy"))
        while (node := ok(await client.get(path)))["status_name"] != "Deployed":
            assert node["status_name"] == "Deploying"
            await asyncio.sleep(0.1)
        (found,) = ok(await client.get("dnsresources/", [("fqdn", "api.maas")]))
        assert found["id"] == made["id"]
        named = ok(await client.put(f"dnsresources/{made['id']}/", [("ip_addresses", "10.1.0.5 10.1.0.6")]))
        assert [one["ip"] for one in named["ip_addresses"]] == ["10.1.0.5", "10.1.0.6"]
        ok(await client.post(path, [("force", "true")], "release"))
        assert (await client.delete(f"dnsresources/{made['id']}/")).status == 204
        wrong = ClusterApi.to(proxy.url, key[:-1] + ("a" if key[-1] != "a" else "b"))
        assert (await wrong.get("zones/")).status == 401
    CLUSTER_API.check(proxy.calls)
