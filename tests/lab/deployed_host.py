"""A deployment with one host of the lab, and machines composed on it."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from tests.deployment.deployment import Deployment


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
