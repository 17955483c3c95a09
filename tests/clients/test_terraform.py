"""Terraform's provider: its order of calls, polls and reads, in gomaasclient's bytes and types."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define

from tests.clients.calls import TERRAFORM
from tests.clients.exact_bytes import Answer, Gomaasclient
from tests.clients.go_programs import key_of
from tests.clients.go_types import DNS_RESOURCE, DOMAIN, INTERFACE, MACHINE, SUBNET, TAG, VM_HOST, decoded
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image

ADDRESS = "simulated:tf?cores=8&networks=lan:10.1.0.0/24"
HOST = [("type", "simulated"), ("power_address", ADDRESS), ("name", "tf-host"), ("tags", "lab")]
CONSOLE_TAG = "pod-console-logging"


def ok(answer: Answer) -> Any:
    assert answer.status in range(200, 300), f"{answer.status}: {answer.body.decode()}"
    return answer.json if answer.body else None


@define
class Terraform:
    """What the provider does for each resource; ids and names are kept as its state has them."""

    client: Gomaasclient
    host_id: int = 0
    host_system_id: str = ""
    system_id: str = ""
    nic_id: int = 0
    link_id: int = 0
    subnet_id: int = 0

    async def machine(self) -> Any:
        return decoded(ok(await self.client.get(f"machines/{self.system_id}/")), MACHINE)

    async def becomes(self, wanted: str, *on_the_way: str) -> Any:
        """Polls as the provider does: any status that is not expected on the way is a failure."""
        while (found := await self.machine())["status_name"] != wanted:
            assert found["status_name"] in on_the_way, found["status_name"]
            await asyncio.sleep(0.1)
        return found

    async def create_vm_host(self) -> None:
        made = decoded(ok(await self.client.post("pods/", fields=HOST)), VM_HOST)
        self.host_id, self.host_system_id = made["id"], made["host"]["system_id"]
        more = [("cpu_over_commit_ratio", "2.5"), ("memory_over_commit_ratio", "1"), ("pool", "default")]
        updated = decoded(
            ok(await self.client.put(f"pods/{self.host_id}/", [*HOST, ("zone", "default"), *more])), VM_HOST
        )
        assert updated["resource_uri"]

    async def create_vm_host_machine(self) -> None:
        fields = [("cores", "1"), ("memory", "2048"), ("storage", "disk0:20,disk1:5"), ("hostname", "tf-vm"),
                  ("interfaces", "eth0:subnet_cidr=10.1.0.0/24")]  # fmt: skip
        composed = ok(await self.client.post(f"pods/{self.host_id}/", "compose", fields))
        self.system_id = composed["system_id"]
        await self.becomes("Ready", "Commissioning", "Testing")
        fields = [("hostname", "tf-vm"), ("zone", "default"), ("pool", "default"), ("domain", "maas")]
        decoded(ok(await self.client.put(f"machines/{self.system_id}/", fields)), MACHINE)

    async def create_tag(self) -> None:
        fields = [("name", "tf-tag"), ("comment", "by Terraform"), ("definition", ""), ("kernel_opts", "")]
        decoded(ok(await self.client.post("tags/", fields=fields)), TAG)
        changed = ok(await self.client.post("tags/tf-tag/", "update_nodes", [("add", self.system_id)]))
        assert changed == {"added": 1, "removed": 0}

    async def create_interface_link(self) -> None:
        (nic,) = decoded(ok(await self.client.get(f"nodes/{self.system_id}/interfaces/")), [INTERFACE])
        self.nic_id = nic["id"]
        (subnet,) = [one for one in ok(await self.client.get("subnets/")) if one["cidr"] == "10.1.0.0/24"]
        self.subnet_id = subnet["id"]
        await self._link("10.1.0.50", default_gateway="true")

    async def _link(self, address: str, **more: str) -> None:
        fields = [("mode", "STATIC"), ("subnet", str(self.subnet_id)), ("ip_address", address), *more.items()]
        path = f"nodes/{self.system_id}/interfaces/{self.nic_id}/"
        nic = decoded(ok(await self.client.post(path, "link_subnet", fields)), INTERFACE)
        (link,) = [one for one in nic["links"] if one.get("ip_address") == address]
        assert (link["mode"], link["subnet"]["id"]) == ("static", self.subnet_id)
        self.link_id = link["id"]

    async def create_instance(self) -> None:
        path = f"nodes/{self.system_id}/interfaces/{self.nic_id}/"
        allocated = decoded(ok(await self.client.post("machines/", "allocate", [("name", "tf-vm")])), MACHINE)
        assert (allocated["status_name"], allocated["system_id"]) == ("Allocated", self.system_id)
        decoded(ok(await self.client.post(path, "disconnect")), INTERFACE)
        await self._link("10.1.0.51")
        deploy = [("distro_series", "noble"), ("user_data", "I2Nsb3VkLWNvbmZpZwp7fQo=")]
        decoded(ok(await self.client.post(f"machines/{self.system_id}/", "deploy", deploy)), MACHINE)
        await self.becomes("Deployed", "Deploying")

    async def create_default_gateway(self) -> None:
        path = f"nodes/{self.system_id}/interfaces/{self.nic_id}/"
        ok(await self.client.post(path, "set_default_gateway", [("link_id", str(self.link_id))]))
        assert (await self.machine())["default_gateways"]["ipv4"]["link_id"] == self.link_id
        ok(await self.client.post(f"machines/{self.system_id}/", "clear_default_gateways"))

    async def read_data_sources(self) -> None:
        """What configurations read beside their own resources."""
        assert ok(await self.client.get("maas/", "get_config", [("name", "default_osystem")]))
        ok(await self.client.get("maas/", "get_config", [("name", "default_distro_series")]))
        assert isinstance(ok(await self.client.get(f"machines/{self.system_id}/", "power_parameters")), dict)
        assert ok(await self.client.get("rackcontrollers/"))
        fabric, *_ = ok(await self.client.get("fabrics/"))
        ok(await self.client.get(f"fabrics/{fabric['id']}/vlans/"))
        decoded(ok(await self.client.get("subnets/")), [SUBNET])
        for kind in ("spaces/", "zones/", "resourcepools/", "users/", "account/prefs/sshkeys/"):
            ok(await self.client.get(kind))

    async def dns_record(self) -> None:
        """A domain with a record, created and destroyed."""
        domain = decoded(
            ok(await self.client.post("domains/", fields=[("name", "tf.example"), ("ttl", "300")])), DOMAIN
        )
        fields = [("fqdn", "www.tf.example"), ("ip_addresses", "10.1.0.51"), ("address_ttl", "60")]
        record = decoded(ok(await self.client.post("dnsresources/", fields=fields)), DNS_RESOURCE)
        path = f"dnsresources/{record['id']}/"
        assert decoded(ok(await self.client.put(path, fields)), DNS_RESOURCE) == record
        assert decoded(ok(await self.client.get(path)), DNS_RESOURCE) == record
        assert (await self.client.delete(path)).status == 204
        assert decoded(ok(await self.client.get(f"domains/{domain['id']}/")), DOMAIN) == domain
        assert (await self.client.delete(f"domains/{domain['id']}/")).status == 204

    async def plan(self) -> dict[str, Any]:
        """What a refresh reads of every resource."""
        host = decoded(ok(await self.client.get(f"pods/{self.host_id}/")), VM_HOST)
        if CONSOLE_TAG not in host["tags"]:
            host["tags"].append(CONSOLE_TAG)
        machine = await self.machine()
        (nic,) = decoded(ok(await self.client.get(f"nodes/{self.system_id}/interfaces/")), [INTERFACE])
        tagged = decoded(ok(await self.client.get("tags/tf-tag/", "machines")), [MACHINE])
        parameters = ok(await self.client.get(f"pods/{self.host_id}/", "parameters"))
        return {
            "host": [host["name"], sorted(host["tags"]), host["zone"]["name"], host["cpu_over_commit_ratio"]],
            "address": parameters["power_address"],
            "machine": [machine[name] for name in ("hostname", "cpu_count", "memory", "status_name", "ip_addresses")],
            "disks": [disk["size"] for disk in machine["blockdevice_set"]],
            "links": [(link["mode"], link.get("ip_address")) for link in nic["links"]],
            "tag": (decoded(ok(await self.client.get("tags/tf-tag/")), TAG), [one["system_id"] for one in tagged]),
        }

    async def destroy(self) -> None:
        release = [("machines", self.system_id), ("comment", "Released by Terraform")]
        assert ok(await self.client.post("machines/", "release", release)) == [self.system_id]
        await self.becomes("Ready", "Releasing")
        path = f"nodes/{self.system_id}/interfaces/{self.nic_id}/"
        (nic,) = ok(await self.client.get(f"nodes/{self.system_id}/interfaces/"))
        for link in nic["links"]:
            if link["mode"] != "dhcp":
                ok(await self.client.post(path, "unlink_subnet", [("id", str(link["id"]))]))
        ok(await self.client.post("tags/tf-tag/", "update_nodes", [("remove", self.system_id)]))
        assert (await self.client.delete("tags/tf-tag/")).status == 204
        assert (await self.client.delete(f"machines/{self.system_id}/")).status == 204
        ok(await self.client.get(f"pods/{self.host_id}/"))
        assert (await self.client.delete(f"pods/{self.host_id}/")).status == 204
        gone = await self.client.get(f"machines/{self.host_system_id}/")
        assert (gone.status, gone.headers["content-type"].partition(";")[0]) == (404, "text/plain")


async def test_terraform_applies_plans_and_destroys(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    async with recording(innkeeper.api.url) as proxy:
        terraform = Terraform(Gomaasclient.to(proxy.url, key_of(innkeeper)))
        await terraform.create_vm_host()
        await terraform.create_vm_host_machine()
        await terraform.create_tag()
        await terraform.create_interface_link()
        await terraform.create_default_gateway()
        await terraform.create_instance()
        await terraform.read_data_sources()
        await terraform.dns_record()
        planned = await terraform.plan()
        assert planned["host"] == ["tf-host", ["lab", CONSOLE_TAG, "simulated"], "default", 2.5]
        assert planned["machine"][3:] == ["Deployed", ["10.1.0.51"]]
        assert (planned["disks"], planned["links"]) == ([20 * 10**9, 5 * 10**9], [("static", "10.1.0.51")])
        assert await terraform.plan() == planned
        await terraform.destroy()
    assert (await innkeeper.get("machines/"), await innkeeper.get("vm-hosts/"), await innkeeper.get("tags/")) == (
        [], [], [],
    )  # fmt: skip
    TERRAFORM.check(proxy.calls)
