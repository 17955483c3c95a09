"""The Ansible collection `maas.maas`: its modules run twice, and every answer comes within its 10 s."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define

from tests.clients.calls import ANSIBLE
from tests.clients.exact_bytes import Ansible, Answer, Fields
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image

GIVES_UP_S = 10.0
ADDRESS = "simulated:an?cores=8&networks=lan:10.1.0.0/24"
STATUSES = {"GET": {200, 404}, "POST": {200, 201}, "PUT": {200}, "DELETE": {204, 200}}


@define
class Modules:
    """The modules of a playbook; each returns whether it changed something."""

    client: Ansible

    async def get(self, path: str, fields: Fields = ()) -> Any:
        return _ok("GET", await self.client.get(path, fields)).json

    async def post(self, path: str, fields: Fields = (), op: str = "") -> Any:
        return _ok("POST", await self.client.post(path, fields, op)).json

    async def vm_host(self) -> bool:
        present = [one for one in await self.get("vm-hosts/") if one["name"] == "an-host"]
        wanted = [("zone", "default"), ("pool", "default")]
        if not present:
            fields = [("type", "simulated"), ("power_address", ADDRESS), ("name", "an-host"), ("tags", "lab")]
            assert (await self.post("vm-hosts/", fields))["name"] == "an-host"
            return True
        changed = _ok("PUT", await self.client.put(f"vm-hosts/{present[0]['id']}/", wanted)).json
        return bool({**changed, "refreshed_at": None} != {**present[0], "refreshed_at": None})

    async def vm_host_machine(self) -> bool:
        if any(one["pod"] and one["hostname"] == "an-vm" for one in await self.get("machines/")):
            return False
        (host,) = await self.get("vm-hosts/")
        fields = [("hostname", "an-vm"), ("cores", "1"), ("memory", "2048"), ("storage", "label:8,label:5"),
                  ("interfaces", "eth0:subnet_cidr=10.1.0.0/24")]  # fmt: skip
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
        if any(link.get("ip_address") == "10.1.0.60" for link in nic["links"]):
            return False
        (subnet,) = [one for one in await self.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
        fields = [("mode", "STATIC"), ("subnet", str(subnet["id"])), ("ip_address", "10.1.0.60")]
        await self.post(f"nodes/{machine['system_id']}/interfaces/{nic['id']}/", fields, "link_subnet")
        return True

    async def subnet(self) -> bool:
        """Sends two slashes, as three modules do."""
        (subnet,) = [one for one in await self.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
        path = f"subnets//{subnet['id']}/"
        return bool(_ok("PUT", await self.client.put(path, [("name", subnet["name"])])).json != subnet)

    async def instance(self, state: str) -> bool:
        machine = await self._machine()
        path = f"machines/{machine['system_id']}/"
        if state == machine["status_name"]:
            return False
        if state == "Deployed":  # of a Ready machine, which it does not allocate first
            await self.post(path, [("distro_series", "noble"), ("hwe_kernel", ""), ("user_data", "")], "deploy")
        else:
            await self.post(path, (), "release")
        await self._becomes(machine["system_id"], state)
        return True

    async def absent(self) -> None:
        machine = await self._machine()
        for path in (f"machines/{machine['system_id']}/", f"vm-hosts/{machine['pod']['id']}/", "tags/an-tag/"):
            _ok("DELETE", await self.client.delete(path))
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
            await asyncio.sleep(0.1)


def _ok(method: str, answer: Answer) -> Answer:
    """The module fails on any other status, and on 202."""
    assert answer.status in STATUSES[method], f"{answer.status}: {answer.body.decode()}"
    return answer


async def test_a_second_run_of_a_playbook_changes_nothing(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    async with recording(innkeeper.api.url) as proxy:
        modules = Modules(Ansible.to(proxy.url, key_of(innkeeper)))

        async def playbook() -> list[bool]:
            return [
                await modules.vm_host(),
                await modules.vm_host_machine(),
                await modules.tag(),
                await modules.network_interface_link(),
                await modules.instance("Deployed"),
                await modules.subnet(),
            ]

        assert await playbook() == [True, True, True, True, True, False]
        assert not any(await playbook())
        (machine,) = await modules.get("machines/")
        assert (machine["ip_addresses"], "an-tag" in machine["tag_names"]) == (["10.1.0.60"], True)
        assert [disk["size"] // 10**9 for disk in machine["blockdevice_set"]] == [8, 5]
        assert await modules.instance("Ready")
        await modules.absent()
    assert modules.client.connection.slowest_s < GIVES_UP_S
    ANSIBLE.check(proxy.calls)
