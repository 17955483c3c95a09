"""Rows of hosts and machines, and discovery runs, for tests of networks and addresses."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from common.addresses.simulated import SimulatedAddress
from common.values import HostFacts, HostNetwork, NicKind
from rackd.drivers.simulated.facts import facts_of
from regiond.db.pool import Database
from regiond.networks import interface_availability
from regiond.networks.discovery.service import discover_networks
from regiond.networks.ipam import service as ipam_service
from regiond.networks.model import HostInterface, Vlan
from regiond.networks.service import Networks
from regiond.placement.candidate import CandidateInterface
from regiond.requests.caller import Caller
from tests.postgresql.database import execute, fetchval

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(account_id=2, username="user", is_admin=False)

_HOST = """
    insert into vm_host (name, driver, address, state, system_id) values ($1, 'simulated', $1, 'ready', $1)
    returning id
"""
_MACHINE = """
    insert into machine (uuid, system_id, hostname, state, architecture, cores, memory_mib)
    values (gen_random_uuid(), $1, $1, 'ready', 'amd64', 1, 1) returning id
"""
_NIC = """
    insert into machine_nic (machine_id, index, name, mac_address, kind) values ($1, 0, 'eth0', $2, 'bridge')
    returning id
"""


@frozen
class NetworkSetup:
    database: Database

    @property
    def networks(self) -> Networks:
        return Networks(self.database)

    async def host(self, name: str) -> int:
        host_id: int = await fetchval(self.database, _HOST, name)
        return host_id

    async def discover(self, host_id: int, facts: HostFacts) -> None:
        async with self.database.transaction() as db:
            await discover_networks(db, host_id, facts)

    async def machine(self, name: str) -> tuple[int, int]:
        """The ids of the machine and of its NIC."""
        machine_id = await fetchval(self.database, _MACHINE, name)
        return machine_id, await fetchval(self.database, _NIC, machine_id, name)

    async def claim(self, name: str, ip: str) -> None:
        """A machine of that name claims the address."""
        machine_id, nic_id = await self.machine(name)
        async with self.database.transaction() as db:
            subnet = await ipam_service.check_static_address(db, ip, caller=ADMIN)
            await ipam_service.claim_static_address(
                db, subnet_id=subnet.id, address=ip, machine_id=machine_id, nic_id=nic_id
            )

    async def available(self, host_id: int) -> list[CandidateInterface]:
        """The interfaces of the host that placement may use."""
        async with self.database.connection() as db:
            return [*(await interface_availability.available_interfaces(db, [host_id]))[host_id]]

    async def interface(self) -> HostInterface:
        """The only interface of the host `one`."""
        (found,) = await self.networks.interfaces("one")
        return found

    async def check(self, ip: str) -> int:
        async with self.database.connection() as db:
            return (await ipam_service.check_static_address(db, ip, caller=ADMIN)).id

    async def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as db:
            return [tuple(row) for row in await db.fetch(query, *values)]

    async def execute(self, statement: str, *values: Any) -> None:
        await execute(self.database, statement, *values)


def simulated(name: str, networks: str = "", **more: str | int) -> HostFacts:
    """The facts of a simulated host with these networks."""
    parameters = {**({"networks": networks} if networks else {}), **more}
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    return facts_of(SimulatedAddress.parse(f"simulated:{name}?{query}"), {})


def bridge(**more: object) -> HostFacts:
    """The facts of a host with one bridge, by default in 10.1.0.0/24."""
    parameters = {"cidrs": ("10.1.0.0/24",), "addresses": ("10.1.0.1/24",), "dhcp": True, **more}
    one = HostNetwork(kind=NicKind.BRIDGE, name="br0", type="bridge", **parameters)  # type: ignore[arg-type]  # any of its fields
    return evolve(simulated("x"), networks=(one,))


def vlan_of(interface: HostInterface) -> Vlan:
    """The VLAN of an interface, which must have one."""
    assert interface.vlan is not None
    return interface.vlan
