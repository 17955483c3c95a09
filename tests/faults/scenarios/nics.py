"""A machine gets another NIC, changes one, and gives one up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.machines import HostMachine, composed
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site


async def _nic_problems(site: Site, machine: HostMachine, names: list[str]) -> list[str]:
    found = await site.deployment.get(machine.path)
    known = [nic["name"] for nic in found["interface_set"]]
    parts = await asyncio.to_thread(machine.host.parts, machine.hostname)
    return [
        *problem(f"its NICs are {known}", when=known != names),
        *problem(f"the guest has {parts} disks and NICs", when=parts is not None and parts[1] != len(names)),
    ]


class AddNic(RequestScenario):
    name = "add_interface"
    kinds = (OperationKind.ADD_NIC,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, interfaces="eth0:mode=unconfigured", power_on="true")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await _nic_problems(site, state, ["eth0", "eth1"])


@frozen(kw_only=True)
class ChangedNic:
    """A machine with one NIC, and the MAC address that it is to get."""

    machine: HostMachine
    mac_address: str


class ChangeNic(RequestScenario):
    name = "change_interface"
    kinds = (OperationKind.CHANGE_NIC,)

    async def prepare(self, site: Site) -> ChangedNic:
        machine = await composed(site, interfaces="eth0:mode=unconfigured")
        number = int(machine.hostname.rpartition("-")[2])
        return ChangedNic(machine=machine, mac_address=f"52:54:00:fc:{number >> 8 & 255:02x}:{number & 255:02x}")

    async def request(self, site: Site, state: ChangedNic) -> Request:
        fields = {"interface": "eth0", "mac_address": state.mac_address}
        return Request(path=state.machine.path, op=self.name, fields=fields)

    async def check(self, site: Site, state: ChangedNic, outcome: Outcome) -> Iterable[str]:
        machine = state.machine
        found = await site.deployment.get(machine.path)
        known = [nic["mac_address"] for nic in found["interface_set"]]
        on_host = await asyncio.to_thread(machine.host.mac_addresses, machine.hostname)
        return [
            *problem(f"its MAC addresses are {known}", when=known != [state.mac_address]),
            *problem(f"the guest has {on_host}", when=on_host not in (None, known)),
        ]


class RemoveNic(RequestScenario):
    name = "remove_interface"
    kinds = (OperationKind.REMOVE_NIC,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, interfaces="eth0:mode=unconfigured;eth1:mode=unconfigured")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={"interface": "eth1"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await _nic_problems(site, state, ["eth0"])
