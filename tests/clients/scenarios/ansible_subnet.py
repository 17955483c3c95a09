"""Ansible's `maas.maas.subnet` with `ip_ranges`: deletes the listed ranges of the subnet that it does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from tests.clients.exact_bytes import Ansible
from tests.clients.scenarios.ansible import ok

Range = Mapping[str, str]  # of type, start_ip, end_ip


@define
class SubnetModule:
    """Each run returns whether it changed something. The paths of one subnet have two slashes, as in three modules."""

    client: Ansible
    name: str
    cidr: str

    async def present(self, ranges: Sequence[Range], gateway_ip: str | None = None) -> bool:
        await self._get("fabrics/")
        wanted = {"name": self.name, "cidr": self.cidr, "dns_servers": ""}
        if gateway_ip is not None:
            wanted["gateway_ip"] = gateway_ip
        subnet = await self._subnet()
        if subnet is None:
            subnet = ok("POST", await self.client.post("subnets/", list(wanted.items()))).json
            await self._change_ranges(subnet, [], ranges)
            return True
        shown = {**subnet, "dns_servers": ",".join(subnet["dns_servers"])}
        is_changed = any(shown[name] != value for name, value in wanted.items())
        present = await self._ranges()
        extra = [id for id, one in present.items() if one not in ranges]
        missing = [one for one in ranges if one not in present.values()]
        if not (is_changed or extra or missing):
            return False
        path = f"subnets//{subnet['id']}/"
        if is_changed:
            ok("PUT", await self.client.put(path, list(wanted.items())))
        else:
            await self._get(path)
        await self._change_ranges(subnet, extra, missing)
        return True

    async def absent(self) -> bool:
        subnet = await self._subnet()
        if subnet is not None:
            ok("DELETE", await self.client.delete(f"subnets//{subnet['id']}/"))
        return subnet is not None

    async def _change_ranges(self, subnet: Any, extra: Sequence[int], missing: Sequence[Range]) -> None:
        """Reads the list again for what the module shows."""
        for id in extra:
            ok("DELETE", await self.client.delete(f"ipranges/{id}/"))
        for one in missing:
            ok("POST", await self.client.post("ipranges/", [*one.items(), ("subnet", str(subnet["id"]))]))
        await self._ranges()

    async def _subnet(self) -> Any:
        return next((one for one in await self._get("subnets/") if one["name"] == self.name), None)

    async def _ranges(self) -> dict[int, Range]:
        """By id, those of the subnet with this name."""
        return {
            one["id"]: {key: one[key] for key in ("type", "start_ip", "end_ip")}
            for one in await self._get("ipranges/")
            if one["subnet"]["name"] == self.name
        }

    async def _get(self, path: str) -> Any:
        return ok("GET", await self.client.get(path)).json
