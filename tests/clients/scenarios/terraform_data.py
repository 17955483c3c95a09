"""Terraform's data sources: what each asks for, and every field that it copies into the state."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from tests.clients.exact_bytes import Answer, Gomaasclient
from tests.clients.go_types import (
    BLOCK_DEVICE,
    BOOT_RESOURCE,
    CONTROLLER,
    DEVICE,
    FABRIC,
    INTERFACE,
    MACHINE,
    SUBNET,
    VLAN,
    VM_HOST,
    ZONE,
    decoded,
)
from tests.clients.scenarios.terraform import ok


def fields(found: Any, *names: str) -> list[Any]:
    """Their values. Raises KeyError for one that is missing: the provider would show an empty one."""
    return [found[name] for name in names]


@frozen
class DataSources:
    """Each returns what the state gets, in the types of gomaasclient."""

    client: Gomaasclient

    async def machine(self, identifier: str) -> list[Any]:
        """By hostname, system id or MAC address: the provider looks through the list."""
        found = await self._machine(identifier)
        parameters = ok(await self.client.get(f"machines/{found['system_id']}/", "power_parameters"))
        disks = decoded(ok(await self.client.get(f"nodes/{found['system_id']}/blockdevices/")), [BLOCK_DEVICE])
        return [
            *fields(found, "system_id", "architecture", "min_hwe_kernel", "hostname", "power_type", "status_name"),
            found["domain"]["name"], found["zone"]["name"], found["pool"]["name"],
            found["boot_interface"]["mac_address"], isinstance(parameters, dict),
            [
                fields(one, "id", "id_path", "model", "name", "serial", "size", "tags")
                for one in disks
                if one["type"] == "physical"
            ],
        ]  # fmt: skip

    async def machines(self) -> list[Any]:
        return [fields(one, "hostname", "system_id") for one in await self._machines()]

    async def network_interface_physical(self, machine: str, identifier: str) -> list[Any]:
        system_id = (await self._machine(machine))["system_id"]
        nics = decoded(ok(await self.client.get(f"nodes/{system_id}/interfaces/")), [INTERFACE])
        (nic,) = [one for one in nics if identifier in {one["mac_address"], one["name"], str(one["id"])}]
        return [*fields(nic, "id", "mac_address", "effective_mtu", "name", "tags"), nic["vlan"]["id"], nic["type"]]

    async def vm_host(self, name: str) -> list[Any]:
        hosts = decoded(ok(await self.client.get("pods/")), [VM_HOST])
        (found,) = [one for one in hosts if one["name"] == name]
        parameters = decoded(
            ok(await self.client.get(f"pods/{found['id']}/", "parameters")), {"power_address": "string"}
        )
        ratios = ("cpu_over_commit_ratio", "memory_over_commit_ratio")
        return [
            *fields(found, "id", "name", "type", "tags", "default_macvlan_mode", *ratios),
            found["pool"]["name"], found["zone"]["name"],
            fields(found["total"], "cores", "local_storage", "memory"), parameters["power_address"],
        ]  # fmt: skip

    async def subnet(self, cidr: str) -> list[Any]:
        (found,) = [one for one in decoded(ok(await self.client.get("subnets/")), [SUBNET]) if one["cidr"] == cidr]
        return [
            *fields(found, "id", "name", "rdns_mode", "allow_dns", "allow_proxy", "gateway_ip", "dns_servers"),
            *fields(found["vlan"], "fabric", "vid"),
        ]  # fmt: skip

    async def fabric(self, name: str) -> list[Any]:
        (found,) = [one for one in decoded(ok(await self.client.get("fabrics/")), [FABRIC]) if one["name"] == name]
        return fields(found, "id", "name", "class_type")

    async def vlan(self, fabric: str, vid: int) -> list[Any]:
        fabric_id, *_ = await self.fabric(fabric)
        vlans = decoded(ok(await self.client.get(f"fabrics/{fabric_id}/vlans/")), [VLAN])
        (found,) = [one for one in vlans if one["vid"] == vid]
        return fields(found, "id", "mtu", "dhcp_on", "name", "space", "vid")

    async def resource_pool(self, name: str) -> list[Any]:
        (found,) = [one for one in decoded(ok(await self.client.get("resourcepools/")), [ZONE]) if one["name"] == name]
        return fields(found, "id", "name", "description")

    async def zone(self, name: str) -> list[Any]:
        (found,) = [one for one in decoded(ok(await self.client.get("zones/")), [ZONE]) if one["name"] == name]
        return fields(found, "id", "name", "description")

    async def rack_controller(self, hostname: str) -> list[Any]:
        answer = await self.client.get("rackcontrollers/", fields=[("hostname", hostname)])
        (found,) = decoded(ok(answer), [CONTROLLER])
        services = [fields(one, "name", "status") for one in found["service_set"]]
        return [*fields(found, "system_id", "description", "version"), services]

    async def rack_controllers(self, path: str = "rackcontrollers/") -> list[Any]:
        """Some releases ask for `rackControllers/`. The subnets are those of the controllers' NICs."""
        found = decoded(ok(await self.client.get(path)), [CONTROLLER])
        return [[*fields(one, "hostname", "system_id"), fields(one, "service_set", "interface_set")] for one in found]

    async def device(self, hostname: str) -> list[Any]:
        (found,) = [
            one for one in decoded(ok(await self.client.get("devices/")), [DEVICE]) if one["hostname"] == hostname
        ]
        nics = [fields(one, "id", "mac_address", "name") for one in found["interface_set"]]
        described = fields(found, "system_id", "description", "fqdn", "hostname", "owner", "ip_addresses")
        return [*described, found["domain"]["name"], found["zone"]["name"], nics]

    async def boot_resources(self, name: str) -> list[Any]:
        """`maas_boot_resources` and `maas_boot_resource`: first waits until nothing is imported."""
        assert ok(await self.client.get("boot-resources/", "is-importing")) is False
        listed = decoded(ok(await self.client.get("boot-resources/")), [BOOT_RESOURCE])
        return [fields(one, "name", "architecture") for one in listed if one["name"] == name]

    async def boot_sources(self) -> list[Any]:
        """Of `maas_boot_source`, and of `maas_boot_resources` after its images: they fail if there is none."""
        found: list[Any] = ok(await self.client.get("boot-sources/"))
        return found

    async def configuration(self, key: str) -> Any:
        return ok(await self.client.get("maas/", "get_config", [("name", key)]))

    async def api_keys(self) -> Answer:
        return await self.client.get("account/", "list_authorisation_tokens")

    async def _machine(self, identifier: str) -> Any:
        def names(one: Any) -> set[str]:
            return {one["system_id"], one["hostname"], one["fqdn"], one["boot_interface"]["mac_address"]}

        (found,) = [one for one in await self._machines() if identifier in names(one)]
        return found

    async def _machines(self) -> Any:
        return decoded(ok(await self.client.get("machines/")), [MACHINE])
