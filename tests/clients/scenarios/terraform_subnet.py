"""Terraform's `maas_subnet` with `ip_ranges`: an apply deletes all listed ranges of the subnet and creates its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define

from tests.clients.exact_bytes import Fields, Gomaasclient
from tests.clients.go_types import IP_RANGE, SUBNET, decoded
from tests.clients.scenarios.terraform import ok

Range = tuple[str, str, str, str]  # type, start_ip, end_ip, comment


@define
class SubnetWithRanges:
    """The subnet is on the untagged VLAN of the first fabric."""

    client: Gomaasclient
    cidr: str
    subnet_id: int = 0

    async def create(self, ranges: Iterable[Range]) -> None:
        """An update follows at once."""
        made = decoded(ok(await self.client.post("subnets/", fields=await self._fields())), SUBNET)
        self.subnet_id = made["id"]
        await self.update(ranges)

    async def update(self, ranges: Iterable[Range]) -> None:
        path = f"subnets/{self.subnet_id}/"
        assert decoded(ok(await self.client.put(path, await self._fields())), SUBNET)["resource_uri"]
        for one in await self._listed():
            assert (await self.client.delete(f"ipranges/{one['id']}/")).status == 204
        for kind, start, end, comment in ranges:
            fields = [("subnet", str(self.subnet_id)), ("type", kind), ("start_ip", start), ("end_ip", end)]
            fields += [("comment", comment)] if comment else []
            decoded(ok(await self.client.post("ipranges/", fields=fields)), IP_RANGE)
        await self.plan()

    async def plan(self) -> list[Any]:
        """What a refresh reads of the subnet, which has no ranges: the provider does not compare them."""
        found = decoded(ok(await self.client.get(f"subnets/{self.subnet_id}/")), SUBNET)
        return [found["gateway_ip"], found["dns_servers"]]

    async def ranges(self) -> list[Range]:
        return [(one["type"], one["start_ip"], one["end_ip"], one["comment"]) for one in await self._listed()]

    async def destroy(self) -> None:
        assert (await self.client.delete(f"subnets/{self.subnet_id}/")).status == 204

    async def _listed(self) -> list[Any]:
        found = decoded(ok(await self.client.get("ipranges/")), [IP_RANGE])
        return [one for one in found if one["subnet"]["id"] == self.subnet_id]

    async def _fields(self) -> Fields:
        """Those of the defaults too; `vid` is left out as 0."""
        fabric, *_ = ok(await self.client.get("fabrics/"))
        (vlan,) = [one for one in ok(await self.client.get(f"fabrics/{fabric['id']}/vlans/")) if one["vid"] == 0]
        switches = ("active_discovery", "allow_dns", "allow_proxy", "managed")
        return [
            ("cidr", self.cidr), ("name", "tf-subnet"), ("fabric", str(fabric["id"])), ("vlan", str(vlan["id"])),
            ("rdns_mode", "2"), *((name, "true") for name in switches),
        ]  # fmt: skip
