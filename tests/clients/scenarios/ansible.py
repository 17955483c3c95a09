"""The Ansible collection `maas.maas`: a playbook's modules, and the inventory."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define

from tests.clients.client_host import ClientHost
from tests.clients.exact_bytes import Ansible, Answer, Fields

ANSWERED_S = 60.0  # the collection gives up after 10 s; of a busy machine only that nothing waits for a boot
CONFIGURED = ("name", "tags", "zone", "pool", "cpu_over_commit_ratio", "memory_over_commit_ratio", "total")
STATUSES = {"GET": {200, 404}, "POST": {200, 201}, "PUT": {200}, "DELETE": {204, 200}}


@define
class Modules:
    """The modules of a playbook; each returns whether it changed something."""

    client: Ansible
    host: ClientHost

    async def get(self, path: str, fields: Fields = ()) -> Any:
        return ok("GET", await self.client.get(path, fields)).json

    async def post(self, path: str, fields: Fields = (), op: str = "") -> Any:
        return ok("POST", await self.client.post(path, fields, op)).json

    async def vm_host(self) -> bool:
        """A second run sends address, token, zone and pool again."""
        present = [one for one in await self.get("vm-hosts/") if one["name"] == "an-host"]
        if not present:
            fields = [*self.host.power_fields, ("name", "an-host"), ("tags", "an-lab")]
            assert (await self.post("vm-hosts/", fields))["name"] == "an-host"
            return True
        wanted = [*self.host.power_fields[1:], ("zone", "default"), ("pool", "default")]
        changed = ok("PUT", await self.client.put(f"vm-hosts/{present[0]['id']}/", wanted)).json
        return any(changed[name] != present[0][name] for name in CONFIGURED)

    async def vm_host_machine(self) -> bool:
        if any(one["pod"] and one["hostname"] == "an-vm" for one in await self.get("machines/")):
            return False
        (host,) = [one for one in await self.get("vm-hosts/") if one["name"] == "an-host"]
        fields = [("hostname", "an-vm"), ("cores", "1"), ("memory", "1024"), ("storage", "label:8,label:5"),
                  ("interfaces", f"eth0:subnet_cidr={self.host.subnet}")]  # fmt: skip
        made = await self.post(f"vm-hosts/{host['id']}/", fields, "compose")
        await self._becomes(made["system_id"], "Ready")
        return True

    async def tag(self) -> bool:
        machine = await self._machine()
        if not any(one["name"] == "an-tag" for one in await self.get("tags/")):
            await self.post("tags/", [("name", "an-tag"), ("comment", "")])
        if "an-tag" in machine["tag_names"]:
            return False
        await self.post("tags/an-tag/", [("add", machine["system_id"])], "update_nodes")
        return True

    async def network_interface_link(self) -> bool:
        machine = await self._machine()
        (nic,) = await self.get(f"nodes/{machine['system_id']}/interfaces/")
        if any(link.get("ip_address") == self.host.ip(60) for link in nic["links"]):
            return False
        (subnet,) = [one for one in await self.get("subnets/") if one["cidr"] == self.host.subnet]
        fields = [("mode", "STATIC"), ("subnet", str(subnet["id"])), ("ip_address", self.host.ip(60))]
        await self.post(f"nodes/{machine['system_id']}/interfaces/{nic['id']}/", fields, "link_subnet")
        return True

    async def instance(self, state: str) -> bool:
        machine = await self._machine()
        path = f"machines/{machine['system_id']}/"
        if state == machine["status_name"]:
            return False
        if state == "Deployed":  # of a Ready machine, which it does not allocate first
            await self.post(
                path, [("distro_series", self.host.series), ("hwe_kernel", ""), ("user_data", "")], "deploy"
            )
        else:
            await self.post(path, (), "release")
        await self._becomes(machine["system_id"], state)
        return True

    async def inventory(self) -> dict[str, list[str]]:
        """The names of all machines by their domain, as the inventory plugin groups them."""
        found: dict[str, list[str]] = {}
        for machine in await self.get("machines/"):
            found.setdefault(machine["domain"]["name"], []).append(machine["fqdn"])
        return found

    async def playbook(self) -> list[bool]:
        return [
            await self.vm_host(),
            await self.vm_host_machine(),
            await self.tag(),
            await self.network_interface_link(),
            await self.instance("Deployed"),
        ]

    async def live(self) -> None:
        """Runs a playbook twice, then one that releases and one that deletes everything."""
        assert await self.playbook() == [True, True, True, True, True]
        assert not any(await self.playbook()), "a second run changes nothing"
        machine = await self._machine()
        assert (machine["ip_addresses"], "an-tag" in machine["tag_names"]) == ([self.host.ip(60)], True)
        assert [disk["size"] // 10**9 for disk in machine["blockdevice_set"]] == [8, 5]
        assert machine["fqdn"] in (await self.inventory())[machine["domain"]["name"]]
        assert await self.instance("Ready")
        await self.absent()
        assert self.client.connection.slowest_s < ANSWERED_S

    async def absent(self) -> None:
        machine = await self._machine()
        for path in (f"machines/{machine['system_id']}/", f"vm-hosts/{machine['pod']['id']}/", "tags/an-tag/"):
            ok("DELETE", await self.client.delete(path))
        gone = await self.client.get(f"machines/{machine['system_id']}/")
        assert (gone.status, gone.body[:1].isalpha()) == (404, True)  # what is no JSON is gone

    async def _machine(self) -> Any:
        """Every lookup reads the whole list."""
        (found,) = [one for one in await self.get("machines/") if one["hostname"] == "an-vm"]
        assert found["pool"]["id"] is not None
        return found

    async def _becomes(self, system_id: str, wanted: str) -> None:
        while (status := (await self.get(f"machines/{system_id}/"))["status_name"]) != wanted:
            assert not status.startswith("Failed"), status
            await asyncio.sleep(self.host.poll_s)


def ok(method: str, answer: Answer) -> Answer:
    """The module fails on any other status, and on 202."""
    assert answer.status in STATUSES[method], f"{answer.status}: {answer.body.decode()}"
    return answer
