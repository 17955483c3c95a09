"""A machine is powered on, off, or cycled; its boot disk and its boot order are chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.machines import HostMachine, composed, first_use_problems
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site


class Power(RequestScenario):
    """`action` is on, off or cycle. `on` is the first use of a machine that was composed as stock."""

    kinds = (OperationKind.POWER,)

    def __init__(self, action: str) -> None:
        self.action = action
        self.name = f"power_{action}"

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, power_on="false" if self.action == "on" else "true")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        """A guest in the wanted state is not switched again. Only a cycle whose answer was lost is repeated."""
        wanted = "off" if self.action == "off" else "on"
        known = (await site.deployment.get(state.path))["power_state"]
        actual = await asyncio.to_thread(state.host.power, state.hostname)
        switched = await asyncio.to_thread(state.host.switched, state.hostname)
        times = 1 if switched is None else switched.count(wanted) - (self.action == "cycle")  # composed powered on
        attempts = outcome.operation.get("attempt", 1) if self.action == "cycle" else 1
        return [
            *(await first_use_problems(site, state) if self.action == "on" else []),
            *problem(f"the guest is {actual}", when=actual != wanted),
            *problem(f"the last switch was {switched}", when=switched is not None and switched[-1:] != [wanted]),
            *problem(f"the machine is known to be {known}", when=known != wanted),
            *problem(f"switched {wanted} {times} times", when=not 1 <= times <= attempts),
        ]


class SetBootDisk(RequestScenario):
    name = "set_boot_disk"
    kinds = (OperationKind.SET_BOOT_DISK,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site)

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=f"nodes/{state.system_id}/blockdevices/sdb/", op=self.name)

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        known = (await site.deployment.get(state.path))["boot_disk"]["name"]
        position = await asyncio.to_thread(state.host.boot_position, state.hostname)
        return [
            *problem(f"the boot disk is known to be {known}", when=known != "sdb"),
            *problem(f"the guest boots from its disk {position}", when=position not in (1, None)),
        ]


class SetBoot(RequestScenario):
    """The order of all starts; of a running guest it is pending, or in the definition of its next start."""

    kinds = (OperationKind.SET_BOOT,)

    def __init__(self, *, running: bool) -> None:
        self.running = running
        self.name = "set_boot_running" if running else "set_boot"

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, power_on="true" if self.running else "false")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op="set_boot", fields={"order": "disk"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        found = await site.deployment.get(state.path)
        known = found["pending_boot_order"] or found["boot_order"]
        actual = await asyncio.to_thread(state.host.boot_order, state.hostname)
        return [
            *problem(f"it is known to boot from {known}", when=known != ["disk", "network"]),
            *problem(f"{found['pending_boot_order']} is pending while it is off", when=_is_early(found)),
            *problem(f"the guest boots from {actual}", when=actual not in ("disk,network", None)),
        ]


def _is_early(machine: Any) -> bool:
    return machine["power_state"] == "off" and bool(machine["pending_boot_order"])


class BootOnce(RequestScenario):
    """A machine starts once in another order: exactly one start is so, however often the call is repeated."""

    name = "power_on_once"
    kinds = (OperationKind.POWER,)

    async def prepare(self, site: Site) -> HostMachine:
        state = await composed(site, power_on="false")
        await site.deployment.post(state.path, op="set_boot", order="disk", once="true")
        return state

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op="power_on")

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        found = await site.deployment.get(state.path)
        once = await asyncio.to_thread(state.host.booted_once, state.hostname)
        return [
            *problem(f"the next start is from {found['boot_once']} again", when=bool(found["boot_once"])),
            *problem(f"all starts are from {found['boot_order']}", when=found["boot_order"] != ["network", "disk"]),
            *problem(f"the guest was started from {once}", when=once not in ("disk", None)),
        ]


class SetStartOrder(RequestScenario):
    name = "set_start_order"
    kinds = (OperationKind.SET_START_ORDER,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site)

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op=self.name, fields={"priority": "7", "delay": "3"})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        known = (await site.deployment.get(state.path))["start_order"]
        actual = await asyncio.to_thread(state.host.start_order, state.hostname)
        return [
            *problem(f"the order is known to be {known}", when=known != {"priority": 7, "delay": 3}),
            *problem(f"the guest has {actual}", when=actual not in ((7, 3), None)),
        ]
