"""Real LXD: the removal of a server's last host removes our certificate, unless it is restricted; a cluster too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.lab.clusters.test_lxd_cluster_hosts import added
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

PREFIX = "ikrmc-"


async def fate(innkeeper: Deployment) -> dict[str, Any]:
    (newest, *_) = [one for one in await innkeeper.get("operations/") if "certificate" in one["result"]]
    found: dict[str, Any] = newest["result"]["certificate"]
    return found


async def test_the_certificate_leaves_with_the_last_host(innkeeper: Deployment, server: LxdServer) -> None:
    before = await asyncio.to_thread(server.trusted)
    token = await asyncio.to_thread(server.token, "innkeeper")
    fields: dict[str, Any] = {"type": "lxd", "power_address": server.address}
    hosts = [await innkeeper.post("vm-hosts/", name="first", password=token, **fields)]
    ours = await asyncio.to_thread(server.trusted) - before
    assert len(ours) == 1
    await innkeeper.delete(f"vm-hosts/{hosts[0]['id']}/", keep_trust="true")
    assert await asyncio.to_thread(server.trusted) - before == ours
    again = await innkeeper.post("vm-hosts/", name="again", **fields)
    assert again["total"]["cores"] > 0, "no token was needed"
    await innkeeper.delete(f"vm-hosts/{again['id']}/")
    assert await asyncio.to_thread(server.trusted) == before
    assert (await fate(innkeeper))["removed"] is True


async def test_a_restricted_certificate_stays_and_is_named(innkeeper: Deployment, server: LxdServer) -> None:
    before = await asyncio.to_thread(server.trusted)
    fields: dict[str, Any] = {"type": "lxd", "power_address": server.address, "name": "restricted"}
    with server.project("ikrmc") as project:
        host = await innkeeper.post("vm-hosts/", project=project, **fields)
        pem = (await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters"))["certificate"]
        await asyncio.to_thread(
            server.lxc,
            *("config", "trust", server.add_certificate, "-", "--restricted", "--projects", project),
            given=pem,
        )

        async def ready() -> bool:
            return bool((await innkeeper.get(f"vm-hosts/{host['id']}/"))["state"] == "ready")

        await eventually(ready)
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        left = await asyncio.to_thread(server.trusted) - before
        found = await fate(innkeeper)
        assert (found["removed"], left) == (False, {found["fingerprint"]})
        assert "restricted to projects" in found["message"]
        _client, *command = found["message"].rpartition("run on the server: ")[2].split()
        await asyncio.to_thread(server.lxc, *command)
        assert await asyncio.to_thread(server.trusted) == before


async def test_a_removed_cluster_takes_its_certificate_along(
    cluster: tuple[LxdServer, ...], innkeeper: Deployment
) -> None:
    before = await asyncio.to_thread(cluster[0].trusted)
    hosts = await added(innkeeper, cluster)
    (one, *rest) = hosts.values()
    await innkeeper.delete(f"vm-hosts/{one}/")
    assert len(await asyncio.to_thread(cluster[0].trusted) - before) == 1
    shown = await innkeeper.get(f"vm-hosts/{rest[0]}/")
    await innkeeper.delete(f"vm-clusters/{shown['cluster']}/")
    assert await asyncio.to_thread(cluster[0].trusted) == before
