"""A machine gets another NIC with an address, and gives one up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from regiond.operations.model import OperationKind
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


class RemoveNic(RequestScenario):
    name = "remove_interface"
    kinds = (OperationKind.REMOVE_NIC,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, interfaces="eth0:mode=unconfigured;eth1:mode=unconfigured")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={"interface": "eth1"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await _nic_problems(site, state, ["eth0"])
