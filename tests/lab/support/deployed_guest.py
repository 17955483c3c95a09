"""A guest with two NICs that is deployed from the lab's image, and what is found in it by logging in."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import evolve, field, frozen

from common.process.systemd_notify import ServiceManager
from rackd.identity import load
from rackd.service import RackService
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK
from tests.lab.servers.host_setup import host_bridge
from tests.lab.support.guest_image import BOOT_S, SshKey, becomes
from tests.support.waiting import eventually

ROOT_GB = 3
CONSOLE_S = 150.0
USER_DATA = b"#!/bin/sh\necho it ran as $(whoami) >/run/user-data\n"


@frozen(kw_only=True)
class GuestBridge:
    """A bridge of this machine that no hypervisor manages. Guests have static addresses there, and report to a rack."""

    name: str
    prefix: str  # of its /24 subnet
    port: int = field(init=False)

    @port.default
    def _free_port(self) -> int:
        with socket.create_server((self.rack_address, 0)) as listening:
            return int(listening.getsockname()[1])

    @property
    def rack_address(self) -> str:
        return f"{self.prefix}.1"

    @property
    def guest_address(self) -> str:
        """Of a guest that is alone."""
        return self.address(20)

    def address(self, number: int) -> str:
        return f"{self.prefix}.{number}"

    @property
    def guest_url(self) -> str:
        return f"http://{self.rack_address}:{self.port}"

    async def start_rack(self, innkeeper: Deployment) -> None:
        """The rack receives the reports of guests, which cannot reach the region."""
        runner = innkeeper.in_process
        await runner.enrol_rack()
        settings = evolve(runner.rack_settings(), report_host=self.rack_address, report_port=self.port)
        runner.serve(RACK, RackService(settings, load(settings.identity_folder), ServiceManager({})))
        await eventually(runner.is_linked)

    async def compose(
        self, innkeeper: Deployment, host: Any, name: str, *, dhcp_subnet: str, memory_mib: int = 1024,
        root_gb: int = ROOT_GB, address: str | None = None, **more: Any,
    ) -> Any:  # fmt: skip
        """Composes a machine with a static address here (default: `guest_address`) and DHCP in a subnet that the host
        manages.

        Returns the machine as the API does.
        """
        await self._subnet(innkeeper, host)
        made = await innkeeper.compose(
            host["id"], hostname=name, cores=1, memory=memory_mib, storage=f"root:{root_gb},data:1",
            interfaces=f"eth0:subnet={self.prefix}.0/24,ip={address or self.guest_address};eth1:subnet={dhcp_subnet}",
            **more,
        )  # fmt: skip
        return await innkeeper.get(f"machines/{made['system_id']}/")

    async def _subnet(self, innkeeper: Deployment, host: Any) -> None:
        """LXD tells the addresses of its bridges, so the subnet is known there. On libvirt hosts a person says it."""
        cidr = f"{self.prefix}.0/24"
        if cidr in {one["cidr"] for one in await innkeeper.get("subnets/")}:
            return
        fabric = await innkeeper.post("fabrics/", name="yard")
        vlan = await innkeeper.post(f"fabrics/{fabric['id']}/vlans/", vid=101, name="front")
        await innkeeper.post("subnets/", cidr=cidr, vlan=vlan["id"])
        node = f"nodes/{host['host']['system_id']}/interfaces/"
        found = next(one for one in await innkeeper.get(node) if one["name"] == self.name)
        await innkeeper.put(f"{node}{found['id']}/", vlan=vlan["id"])

    async def check_guest(self, innkeeper: Deployment, key: SshKey, machine: Any, *, dhcp_subnet: str) -> None:
        """The API shows both addresses with their subnets; the guest has them, its name, user data and root disk."""

        async def with_lease() -> Any:  # a busy host may not tell it in time: then a refresh does, seconds later
            found = await innkeeper.get(f"machines/{machine['system_id']}/")
            return found if len(found["ip_addresses"]) == 2 else None

        machine = await eventually(with_lease)
        (static, leased), address = links_of(machine), self.guest_address
        assert static == ("static", address, f"{self.prefix}.0/24")
        assert leased == ("dhcp", machine["ip_addresses"][1], dhcp_subnet)
        assert machine["ip_addresses"][0] == address
        assert await key.run(address, "hostname") == f"{machine['hostname']}\n"
        assert await key.run(address, "cat /run/user-data") == "it ran as root\n"
        addresses = await key.run(address, "ip -br -4 address")
        assert f" {address}/24" in addresses
        assert f" {leased[1]}/24" in addresses
        root_bytes = int(await key.run(address, "lsblk -bndo SIZE $(findmnt -no SOURCE / | tr -d 0-9)"))
        assert 0 <= root_bytes - ROOT_GB * 10**9 < 2**20, "LXD rounds up"
        assert int((await key.run(address, "df -B1 --output=size /")).split()[-1]) > (ROOT_GB - 0.5) * 10**9


async def check_console(innkeeper: Deployment, machine: Any) -> None:
    """The login of the guest answers on its serial port."""
    console, found = await innkeeper.api.websocket(f"machines/{machine['system_id']}/", op="console"), b""
    try:
        async with asyncio.timeout(CONSOLE_S):
            console.send(b"\r")
            while b"login:" not in found:
                message = await console.receive()
                assert isinstance(message, bytes), message
                found += message
    finally:
        console.close()


def links_of(machine: Any) -> list[tuple[str, str | None, str]]:
    """Mode, address and subnet of each link of the machine's NICs, in their order."""
    links = [link for nic in machine["interface_set"] for link in nic["links"]]
    return [(link["mode"], link.get("ip_address"), link["subnet"]["cidr"]) for link in links]


@contextmanager
def guest_bridge(prefix: str) -> Iterator[GuestBridge]:
    with host_bridge(f"{prefix}.1/24") as name:
        yield GuestBridge(name=name, prefix=prefix)


async def deploy(
    innkeeper: Deployment, machine: Any, console: Callable[[], str], *, user_data: bytes = USER_DATA,
    deadline_s: float = BOOT_S, **fields: Any,
) -> Any:  # fmt: skip
    """Returns the machine when its guest has reported."""
    encoded = base64.b64encode(user_data).decode()
    await innkeeper.post(f"machines/{machine['system_id']}/", op="deploy", user_data=encoded, **fields)
    return await becomes(innkeeper, machine["system_id"], "Deployed", console, deadline_s=deadline_s)
