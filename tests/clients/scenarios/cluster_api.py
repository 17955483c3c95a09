"""cluster-api-provider-maas: HMAC signatures, a machine from its composition to its release, and its DNS name."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

from tests.clients.client_host import ClientHost
from tests.clients.exact_bytes import Answer, ClusterApi
from tests.deployment.deployment import Deployment

# As long as that of a node of a control plane, which has the certificates of its cluster.
USER_DATA = b64encode(b"#cloud-config\n{}\n" + b"# certificate\n" * 1500).decode()


def ok(answer: Answer) -> Any:
    assert answer.status in range(200, 300), f"{answer.status}: {answer.body.decode()}"
    return answer.json if answer.body else None


async def hmac_key(innkeeper: Deployment) -> str:
    made = await innkeeper.post("account/", op="create_authorisation_token", signature_method="HMAC-SHA1")
    return f"{made['consumer_key']}:{made['token_key']}:{made['token_secret']}"


async def node(client: ClusterApi, added: Any, host: ClientHost) -> str:
    """Makes a node on a host that was added, with a DNS name, and releases it. Returns its system id: it remains."""
    assert ok(await client.get("users/", [("op", "whoami")]))["username"] == "admin"
    server = ok(await client.get(f"machines/{added['host']['system_id']}/"))
    assert (server["power_state"], server["status_name"]) == ("on", "Deployed")
    for kind in ("resourcepools/", "zones/", "tags/"):
        ok(await client.get(kind))
    name = [("fqdn", "api.maas"), ("address_ttl", "10"), ("ip_addresses", f"{host.ip(4)} {host.ip(5)}")]
    made = ok(await client.post("dnsresources/", name))
    compose = [("cores", "1"), ("memory", "1024")]
    composed = ok(await client.post(f"vm-hosts/{added['id']}/", compose, "compose"))
    path = f"machines/{composed['system_id']}/"
    allocate = [("system_id", composed["system_id"]), ("cpu_count", "1"), ("mem", "1024")]
    assert ok(await client.post("machines/", allocate, "allocate"))["status_name"] == "Allocated"
    ok(await client.post(path, [("user_data", USER_DATA), ("distro_series", host.series)], "deploy"))
    while (found := ok(await client.get(path)))["status_name"] != "Deployed":
        assert found["status_name"] == "Deploying"
        await asyncio.sleep(host.poll_s)
    (record,) = ok(await client.get("dnsresources/", [("fqdn", "api.maas")]))
    assert record["id"] == made["id"]
    addresses = [host.ip(5), host.ip(6)]
    named = ok(await client.put(f"dnsresources/{made['id']}/", [("ip_addresses", " ".join(addresses))]))
    assert [one["ip"] for one in named["ip_addresses"]] == addresses
    ok(await client.post(path, [("force", "true")], "release"))
    assert (await client.delete(f"dnsresources/{made['id']}/")).status == 204
    return str(composed["system_id"])
