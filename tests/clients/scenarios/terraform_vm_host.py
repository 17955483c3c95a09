"""Terraform's `maas_vm_host` with `machine`: a Ready machine becomes a VM host; destroying that releases it."""

from __future__ import annotations

import asyncio

from attrs import define

from tests.clients.exact_bytes import Gomaasclient
from tests.clients.go_types import MACHINE, VM_HOST, decoded
from tests.clients.scenarios.terraform import ok


@define
class MachineAsHost:
    """`kind` is `lxd` or `virsh`."""

    client: Gomaasclient
    kind: str
    system_id: str = ""
    host_id: int = 0

    async def create(self, hostname: str) -> None:
        """The host is to be in the list as soon as the machine is Deployed."""
        listed = decoded(ok(await self.client.get("machines/")), [MACHINE])
        (self.system_id,) = (one["system_id"] for one in listed if one["hostname"] == hostname)
        wanted = [("system_id", self.system_id)]
        decoded(ok(await self.client.post("machines/", "allocate", wanted)), MACHINE)
        names = ("default_osystem", "default_distro_series")
        image = [ok(await self.client.get("maas/", "get_config", [("name", name)])) for name in names]
        field = "register_vmhost" if self.kind == "lxd" else "install_kvm"
        deploy = [("distro_series", "/".join(image)), (field, "true")]
        decoded(ok(await self.client.post(f"machines/{self.system_id}/", "deploy", deploy)), MACHINE)
        await self._becomes("Deployed", "Deploying")
        hosts = decoded(ok(await self.client.get("pods/")), [VM_HOST])
        (self.host_id,) = (one["id"] for one in hosts if one["host"]["system_id"] == self.system_id)
        updated = ok(await self.client.put(f"pods/{self.host_id}/", [("type", self.kind), ("tags", "lab")]))
        assert decoded(updated, VM_HOST)["resource_uri"]
        found = decoded(ok(await self.client.get(f"pods/{self.host_id}/")), VM_HOST)
        assert (found["type"], found["name"], "lab" in found["tags"]) == (self.kind, hostname, True)

    async def destroy(self) -> None:
        """The machine outlives the host, so the provider releases it."""
        host = decoded(ok(await self.client.get(f"pods/{self.host_id}/")), VM_HOST)
        assert (await self.client.delete(f"pods/{self.host_id}/")).status == 204
        ok(await self.client.get(f"machines/{host['host']['system_id']}/"))
        release = [("machines", self.system_id), ("comment", "Released by Terraform")]
        assert ok(await self.client.post("machines/", "release", release)) == [self.system_id]
        await self._becomes("Ready", "Releasing")

    async def _becomes(self, wanted: str, on_the_way: str) -> None:
        path = f"machines/{self.system_id}/"
        while (status := decoded(ok(await self.client.get(path)), MACHINE)["status_name"]) != wanted:
            assert status == on_the_way, status
            await asyncio.sleep(0.1)
