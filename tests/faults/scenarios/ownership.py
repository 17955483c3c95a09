"""Machines are allocated and released: one that exists, and one that the allocation composes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import GuestHost
from tests.faults.scenarios.machines import HostMachine, composed, unexpected_machines
from tests.faults.scenarios.scenario import (
    ANSWERED,
    SUCCEEDS_OR_ANSWERED,
    Outcome,
    Request,
    RequestScenario,
    problem,
)
from tests.faults.scenarios.site import Site

_ALLOCATED = "select count(*) from event where kind = 'machine_allocated' and system_id = $1"


async def only_machine(site: Site) -> Any:
    """None unless there is exactly one machine."""
    found = await site.deployment.get("machines/")
    return found[0] if len(found) == 1 else None


async def _not_allocated_once(site: Site) -> list[str]:
    machine = await only_machine(site)
    if machine is None:
        return ["there is not exactly one machine"]
    events = await site.fetchval(_ALLOCATED, machine["system_id"])
    owner = machine["status_name"], machine["owner"]
    return [
        *problem(f"the machine is {owner}", when=owner != ("Allocated", "admin")),
        *problem(f"{events} events report the allocation", when=events != 1),
    ]


class AllocateReady(RequestScenario):
    """No host is called: the operation has ended when it is created."""

    name = "allocate_ready"
    kinds = (OperationKind.ALLOCATE,)
    ends = ANSWERED

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site)

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path="machines/", op="allocate", fields={"name": state.hostname})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return [*await unexpected_machines(site, state.hostname), *await _not_allocated_once(site)]


@frozen(kw_only=True)
class Allocation:
    """A host that the allocation may compose on, and what had happened on the hosts before."""

    host: GuestHost
    since: Mapping[str, int]


class AllocateComposed(RequestScenario):
    name = "allocate_composed"
    kinds = (OperationKind.COMPOSE,)
    ends = SUCCEEDS_OR_ANSWERED

    async def prepare(self, site: Site) -> Allocation:
        return Allocation(host=await site.host(), since=await site.moment())

    async def request(self, site: Site, state: Allocation) -> Request:
        return Request(path="machines/", op="allocate", fields=state.host.allocation)

    async def check(self, site: Site, state: Allocation, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        created = await site.not_once("created", machine["hostname"], "appeared", state.since)
        return [*await _not_allocated_once(site), *created]


@frozen(kw_only=True)
class Allocated:
    """An allocated machine, and what had happened on the hosts before."""

    hostname: str
    system_id: str
    since: Mapping[str, int]


class Release(RequestScenario):
    """A machine that its allocation composed is deleted; another one is powered off and ready again."""

    def __init__(self, *, composed_by_allocation: bool) -> None:
        self.composed_by_allocation = composed_by_allocation
        self.name = "release_composed" if composed_by_allocation else "release_ready"
        self.kinds = (OperationKind.DELETE if composed_by_allocation else OperationKind.RELEASE,)

    async def prepare(self, site: Site) -> Allocated:
        if self.composed_by_allocation:
            machine = await site.deployment.post("machines/", op="allocate", **(await site.host()).allocation)
        else:
            made = await composed(site, power_on="true")
            machine = await site.deployment.post("machines/", op="allocate", name=made.hostname)
        return Allocated(hostname=machine["hostname"], system_id=machine["system_id"], since=await site.moment())

    async def request(self, site: Site, state: Allocated) -> Request:
        return Request(path=f"machines/{state.system_id}/", op="release")

    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        if self.composed_by_allocation:
            gone = await site.not_once("removed", state.hostname, "gone", state.since)
            return [*await unexpected_machines(site), *gone]
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"]
        return problem(f"the machine is {now}", when=now != ("Ready", "off", None))
