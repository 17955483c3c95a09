"""Terraform's provider: its order of calls, polls and reads, in gomaasclient's bytes and types."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define

from tests.clients.client_host import ClientHost
from tests.clients.exact_bytes import Answer, Fields, Gomaasclient
from tests.clients.go_types import DEVICE, DNS_RESOURCE, DOMAIN, INTERFACE, MACHINE, SUBNET, TAG, VM_HOST, decoded

CONSOLE_TAG = "pod-console-logging"
CORE_RATIO = 2.5


def ok(answer: Answer) -> Any:
    assert answer.status in range(200, 300), f"{answer.status}: {answer.body.decode()}"
    return answer.json if answer.body else None


@define
class Terraform:
    """What the provider does for each resource, in the order of a configuration; ids are kept as its state has them.

    `create_vm_host`, then `live`, then `destroy`: others may use the host in between.
    """

    client: Gomaasclient
    host: ClientHost
    host_id: int = 0
    host_system_id: str = ""
    system_id: str = ""
    nic_id: int = 0
    link_id: int = 0
    subnet_id: int = 0

    @property
    def host_fields(self) -> Fields:
        """Of `maas_vm_host`: the provider sends all of them with each update too."""
        return [*self.host.power_fields, ("name", "tf-host"), ("tags", "tf-lab")]

    async def machine(self) -> Any:
        return decoded(ok(await self.client.get(f"machines/{self.system_id}/")), MACHINE)

    async def becomes(self, wanted: str, *on_the_way: str) -> Any:
        """Polls as the provider does: any status that is not expected on the way is a failure."""
        while (found := await self.machine())["status_name"] != wanted:
            assert found["status_name"] in on_the_way, found["status_name"]
            await asyncio.sleep(self.host.poll_s)
        return found

    async def create_vm_host(self) -> None:
        made = decoded(ok(await self.client.post("pods/", fields=self.host_fields)), VM_HOST)
        self.host_id, self.host_system_id = made["id"], made["host"]["system_id"]
        more = [("cpu_over_commit_ratio", str(CORE_RATIO)), ("memory_over_commit_ratio", "1"), ("pool", "default")]
        updated = decoded(
            ok(await self.client.put(f"pods/{self.host_id}/", [*self.host_fields, ("zone", "default"), *more])), VM_HOST
        )
        assert updated["resource_uri"]

    async def create_vm_host_machine(self) -> None:
        fields = [("cores", "1"), ("memory", "1024"), ("storage", "disk0:8,disk1:1"), ("hostname", "tf-vm"),
                  ("interfaces", f"eth0:subnet_cidr={self.host.subnet}")]  # fmt: skip
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
        (subnet,) = [one for one in ok(await self.client.get("subnets/")) if one["cidr"] == self.host.subnet]
        self.subnet_id = subnet["id"]
        await self._link(self.host.ip(50), default_gateway="true")

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
        await self._link(self.host.ip(51))
        deploy = [("distro_series", self.host.series), ("user_data", "I2Nsb3VkLWNvbmZpZwp7fQo=")]
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
        for name in ("default_distro_series", "ntp_servers", "upstream_dns", "enable_http_proxy"):
            ok(await self.client.get("maas/", "get_config", [("name", name)]))
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
        fields = [("fqdn", "www.tf.example"), ("ip_addresses", self.host.ip(51)), ("address_ttl", "60")]
        record = decoded(ok(await self.client.post("dnsresources/", fields=fields)), DNS_RESOURCE)
        path = f"dnsresources/{record['id']}/"
        assert decoded(ok(await self.client.put(path, fields)), DNS_RESOURCE) == record
        assert decoded(ok(await self.client.get(path)), DNS_RESOURCE) == record
        assert (await self.client.delete(path)).status == 204
        ok(await self.client.get("dnsresources/"))
        for address in record["ip_addresses"]:  # which other DNS resources do not have: it accepts one such error
            left = await self.client.post("ipaddresses/", "release", [("ip", address["ip"])])
            assert (left.status, "does not exist" in left.body.decode()) == (400, True)
        assert decoded(ok(await self.client.get(f"domains/{domain['id']}/")), DOMAIN) == domain
        assert (await self.client.delete(f"domains/{domain['id']}/")).status == 204

    async def device(self) -> None:
        """`maas_device`, which is on no machine: created, changed and destroyed."""
        given = [("hostname", "tf-printer"), ("domain", "maas"), ("description", "floor 2"), ("zone", "default")]
        macs = [("mac_addresses", "52:54:00:00:00:41"), ("mac_addresses", "52:54:00:00:00:42")]
        made = decoded(ok(await self.client.post("devices/", fields=[*given, *macs])), DEVICE)
        path = f"devices/{made['system_id']}/"
        assert [one["mac_address"] for one in made["interface_set"]] == [text for _, text in macs]
        assert decoded(ok(await self.client.get(path)), DEVICE) == made
        changed = decoded(ok(await self.client.put(path, [*given[:2], ("description", "floor 3"), given[3]])), DEVICE)
        assert changed == {**made, "description": "floor 3"}
        assert (await self.client.delete(path)).status == 204

    async def live(self) -> None:
        """Creates a machine on the host, and all that belongs to it; a second plan is empty."""
        await self.create_vm_host_machine()
        await self.create_tag()
        await self.create_interface_link()
        await self.create_default_gateway()
        await self.create_instance()
        await self.read_data_sources()
        await self.dns_record()
        planned = await self.plan()
        assert (planned["host"][0], planned["host"][2:]) == ("tf-host", ["default", CORE_RATIO])
        assert {"tf-lab", CONSOLE_TAG} <= set(planned["host"][1])
        assert planned["machine"] == ["tf-vm", 1, 1024, "Deployed", [self.host.ip(51)]]
        assert (planned["disks"], planned["links"]) == ([8 * 10**9, 10**9], [("static", self.host.ip(51))])
        assert await self.plan() == planned

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

    async def composed_instance(self) -> None:
        """`maas_instance` where no machine is free: `allocate` composes one, and the release destroys it."""
        wanted = [("cpu_count", "1"), ("mem", "1024"), ("pool", "default")]
        allocated = decoded(ok(await self.client.post("machines/", "allocate", wanted)), MACHINE)
        self.system_id = allocated["system_id"]
        deploy = [("distro_series", self.host.series)]
        decoded(ok(await self.client.post(f"machines/{self.system_id}/", "deploy", deploy)), MACHINE)
        await self.becomes("Deployed", "Deploying")
        release = [("machines", self.system_id), ("comment", "Released by Terraform")]
        assert ok(await self.client.post("machines/", "release", release)) == [self.system_id]
        released = await self.becomes("Ready", "Releasing")
        assert (released["hostname"], released["cpu_count"], released["power_state"]) == (
            allocated["hostname"], 1, "off",
        )  # fmt: skip

    async def release_instance(self, *params: str) -> None:
        """`maas_instance` with `release_params`: those that are true are sent."""
        fields = [("comment", "Released by Terraform"), *((name, "true") for name in params)]
        decoded(ok(await self.client.post(f"machines/{self.system_id}/", "release", fields)), MACHINE)
        await self.becomes("Ready", "Releasing", "Disk erasing")

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
