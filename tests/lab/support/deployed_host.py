"""A deployment with hosts of the lab, and machines composed on one of them."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import frozen

from tests.deployment.deployment import Deployment
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer


async def add_lxd(innkeeper: Deployment, server: LxdServer, **fields: Any) -> Any:
    """Adds the server with a trust token."""
    token = await asyncio.to_thread(server.token, "innkeeper")
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, password=token, **fields)


async def add_libvirt(innkeeper: Deployment, lab_host: LabHost, **fields: Any) -> Any:
    """Adds the system's libvirt with the test's storage pool as default. It is overcommitted, because it may have other
    domains."""
    host = await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system", name="lab")
    ratios = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}
    return await innkeeper.put(f"vm-hosts/{host['id']}/", default_storage_pool=lab_host.pool_id, **ratios, **fields)


@frozen(kw_only=True)
class DeployedHost:
    """`prefix` starts the names of all machines composed here."""

    deployment: Deployment
    host_id: int
    prefix: str

    async def compose(self, name: str, **fields: Any) -> Any:
        """Returns the machine, whose guest is named `prefix` + `name`."""
        wanted = {"memory": 1024, "storage": "1", **fields}
        composed = await self.deployment.compose(self.host_id, hostname=f"{self.prefix}{name}", **wanted)
        return await self.deployment.get(f"machines/{composed['system_id']}/")

    async def remove(self, machine: Any) -> None:
        await self.deployment.delete(f"machines/{machine['system_id']}/")

    async def pools(self) -> list[Any]:
        """The host's storage pools."""
        found: list[Any] = (await self.deployment.get(f"vm-hosts/{self.host_id}/"))["storage_pools"]
        return found
