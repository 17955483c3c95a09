"""Terraform's resources for NICs and disks of a composed machine: it adopts those that exist."""

from __future__ import annotations

from typing import Any

from attrs import define

from tests.clients.exact_bytes import Answer, Fields, Gomaasclient
from tests.clients.go_types import BLOCK_DEVICE, INTERFACE, MACHINE, decoded
from tests.clients.scenarios.terraform import ok

GB = 10**9


@define
class NicsAndDisks:
    """Of the machine `hostname`, whose NIC is in `subnet` (a CIDR)."""

    client: Gomaasclient
    hostname: str
    subnet: str
    system_id: str = ""
    nic_id: int = 0
    link_id: int = 0
    disk_id: int = 0

    async def create_interface_physical(self, *, name: str, tags: str) -> None:
        """`maas_network_interface_physical`, whose configuration has the MAC address, a name and tags."""
        (nic,) = await self._interfaces()
        assert nic["type"] == "physical"
        self.nic_id = nic["id"]
        fields = [("mac_address", nic["mac_address"]), ("name", name), ("tags", tags)]
        await self._update_interface(fields)

    async def update_interface_physical(self) -> None:
        """An update sends what the last read returned too."""
        nic = await self._interface()
        await self._update_interface([
            ("mac_address", nic["mac_address"]), ("mtu", str(nic["effective_mtu"])), ("name", nic["name"]),
            ("tags", ",".join(nic["tags"])), ("vlan", str(nic["vlan"]["id"])),
        ])  # fmt: skip

    async def create_another_interface(self, mac_address: str) -> None:
        """What the provider does if no NIC has the MAC address of the configuration."""
        assert all(nic["mac_address"] != mac_address for nic in await self._interfaces())
        path = f"nodes/{self.system_id}/interfaces/"
        made = decoded(ok(await self.client.post(path, "create_physical", [("mac_address", mac_address)])), INTERFACE)
        assert made["mac_address"] == mac_address
        self.nic_id = made["id"]

    async def create_another_block_device(self, name: str, size_gb: int, *tags: str) -> None:
        """What the provider does if no disk has the name of the configuration."""
        await self._machine()
        path = f"nodes/{self.system_id}/blockdevices/"
        disks = decoded(ok(await self.client.get(path)), [BLOCK_DEVICE])
        assert all(one["name"] != name for one in disks)
        fields = [
            ("block_size", "512"), ("id_path", "/dev/vdc"), ("model", ""), ("name", name), ("serial", ""),
            ("size", str(size_gb * GB)),
        ]  # fmt: skip
        made = decoded(ok(await self.client.post(path, "", fields)), BLOCK_DEVICE)
        self.disk_id = made["id"]
        for tag in tags:
            ok(await self.client.post(self._disk, "add_tag", [("tag", tag)]))

    async def plan_of_disk(self) -> list[Any]:
        disk = decoded(ok(await self.client.get(self._disk)), BLOCK_DEVICE)
        return [disk[name] for name in ("id_path", "model", "path", "serial", "tags", "uuid", "partitions")]

    async def delete_interface_physical(self) -> Answer:
        await self._machine()
        return await self.client.delete(self._nic)

    async def create_interface_link(self, address: str) -> None:
        await self._interfaces()
        (subnet,) = [one for one in ok(await self.client.get("subnets/")) if one["cidr"] == self.subnet]
        ok(await self.client.post(self._nic, "disconnect"))
        fields = [
            ("default_gateway", "false"), ("ip_address", address), ("mode", "STATIC"), ("subnet", str(subnet["id"])),
        ]  # fmt: skip
        linked = decoded(ok(await self.client.post(self._nic, "link_subnet", fields)), INTERFACE)
        self.link_id = linked["links"][0]["id"]
        assert await self._address() == address

    async def update_interface_link(self) -> None:
        """With `default_gateway`."""
        await self._interfaces()
        decoded(ok(await self.client.post(f"machines/{self.system_id}/", "clear_default_gateways")), MACHINE)
        chosen = await self.client.post(self._nic, "set_default_gateway", [("link_id", str(self.link_id))])
        decoded(ok(chosen), INTERFACE)

    async def delete_interface_link(self) -> None:
        await self._interfaces()
        ok(await self.client.post(self._nic, "unlink_subnet", [("id", str(self.link_id))]))

    async def set_interface_tags(self, *wanted: str) -> None:
        """`maas_network_interface_tag`."""
        await self._machine()
        await self._set_tags(self._nic, INTERFACE, wanted)

    async def create_block_device(self, name: str, size_gb: int, *tags: str, is_boot_device: bool) -> None:
        """`maas_block_device` of a disk that exists; its configuration repeats the disk's `id_path`, if it has one."""
        await self._machine()
        disks = decoded(ok(await self.client.get(f"nodes/{self.system_id}/blockdevices/")), [BLOCK_DEVICE])
        (disk,) = [one for one in disks if one["name"] == name]
        self.disk_id = disk["id"]
        path = [("id_path", disk["id_path"])] if disk["id_path"] else []
        fields = [("block_size", "512"), *path, ("name", name), ("size", str(size_gb * GB))]
        updated = decoded(ok(await self.client.put(self._disk, fields)), BLOCK_DEVICE)
        assert (updated["resource_uri"], updated["partitions"]) == (disk["resource_uri"], [])
        found = decoded(ok(await self.client.get(self._disk)), BLOCK_DEVICE)
        for tag in found["tags"]:
            ok(await self.client.post(self._disk, "remove_tag", [("tag", tag)]))
        for tag in tags:
            ok(await self.client.post(self._disk, "add_tag", [("tag", tag)]))
        if is_boot_device:
            assert (await self.client.post(self._disk, "set_boot_disk")).status == 200

    async def delete_block_device(self) -> Answer:
        await self._machine()
        return await self.client.delete(self._disk)

    async def set_disk_tags(self, *wanted: str) -> None:
        """`maas_block_device_tag`."""
        await self._set_tags(self._disk, BLOCK_DEVICE, wanted)

    async def plan(self) -> dict[str, Any]:
        """What a refresh reads of every resource."""
        await self._machine()
        nic = await self._interface()
        disk = decoded(ok(await self.client.get(self._disk)), BLOCK_DEVICE)
        return {
            "interface": [
                nic["mac_address"],
                nic["effective_mtu"],
                nic["name"],
                sorted(nic["tags"]),
                nic["vlan"]["id"],
            ],
            "link": await self._address(),
            "disk": [disk[name] for name in ("id_path", "model", "path", "serial", "tags", "uuid", "partitions")],
        }

    @property
    def _nic(self) -> str:
        return f"nodes/{self.system_id}/interfaces/{self.nic_id}/"

    @property
    def _disk(self) -> str:
        return f"nodes/{self.system_id}/blockdevices/{self.disk_id}/"

    async def _machine(self) -> Any:
        """The provider looks for it in the list of all machines."""
        machines = decoded(ok(await self.client.get("machines/")), [MACHINE])
        (found,) = [one for one in machines if one["hostname"] == self.hostname]
        self.system_id = found["system_id"]
        return found

    async def _interfaces(self) -> Any:
        await self._machine()
        return decoded(ok(await self.client.get(f"nodes/{self.system_id}/interfaces/")), [INTERFACE])

    async def _interface(self) -> Any:
        return decoded(ok(await self.client.get(self._nic)), INTERFACE)

    async def _address(self) -> str:
        (link,) = [one for one in (await self._interface())["links"] if one["id"] == self.link_id]
        return str(link["ip_address"])

    async def _update_interface(self, fields: Fields) -> None:
        updated = decoded(ok(await self.client.put(self._nic, fields)), INTERFACE)
        assert updated["resource_uri"]
        sent = dict(fields)
        assert (updated["name"], updated["tags"]) == (sent["name"], sent["tags"].split(","))

    async def _set_tags(self, path: str, shape: Any, wanted: tuple[str, ...]) -> None:
        """Removes and adds what differs, and reads the result."""
        has = decoded(ok(await self.client.get(path)), shape)["tags"]
        for tag in has:
            if tag not in wanted:
                decoded(ok(await self.client.post(path, "remove_tag", [("tag", tag)])), shape)
        for tag in wanted:
            if tag not in has:
                decoded(ok(await self.client.post(path, "add_tag", [("tag", tag)])), shape)
        assert sorted(decoded(ok(await self.client.get(path)), shape)["tags"]) == sorted(wanted)
