"""A machine gets another size: at once while it is off, and in part at its next start while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.machines import HostMachine, composed
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site

CORES, MEMORY_MIB = 3, 3072


class Resize(RequestScenario):
    kinds = (OperationKind.RESIZE,)

    def __init__(self, *, running: bool) -> None:
        self.running = running
        self.name = "resize_running" if running else "resize"

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, cores="1", memory="1024", power_on="true" if self.running else "false")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op="resize", fields={"cores": str(CORES), "memory": str(MEMORY_MIB)})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        return await problems_of(site, state, running=self.running)


class ResizeBound(RequestScenario):
    """A machine with pinned cores and memory in huge pages gets more of both."""

    name = "resize_bound"
    kinds = (OperationKind.RESIZE,)

    async def prepare(self, site: Site) -> HostMachine:
        return await composed(site, cores="1", memory="1024", pin_cores="1", hugepages_backed="true")

    async def request(self, site: Site, state: HostMachine) -> Request:
        return Request(path=state.path, op="resize", fields={"cores": str(CORES), "memory": str(MEMORY_MIB)})

    async def check(self, site: Site, state: HostMachine, outcome: Outcome) -> Iterable[str]:
        found = await site.deployment.get(state.path)
        actual = await asyncio.to_thread(state.host.size, state.hostname)
        bound = await asyncio.to_thread(state.host.bound, state.hostname)
        claims = await site.deployment.fetch(
            "select resource, key, amount from claim c join machine m on m.id = c.machine_id"
            " where m.system_id = $1 and resource <> 'storage_bytes' and resource <> 'virtual_functions'",
            state.system_id,
        )
        pinned = sorted(int(row["key"]) for row in claims if row["resource"] == "pinned_core")
        amounts = {resource: sum(row["amount"] for row in claims if row["resource"] == resource)
                   for resource in ("cores", "memory_mib", "huge_pages")}  # fmt: skip
        size = (CORES, MEMORY_MIB)
        return [
            *problem(f"the guest has {actual}", when=actual not in (None, size)),
            *problem(f"it is known with {found['cpu_count']}", when=(found["cpu_count"], found["memory"]) != size),
            *problem(f"{found['pending']} is pending", when=found["pending"] is not None),
            *problem(f"it claims {pinned}, the guest has {bound}", when=bound not in (None, (pinned, True))),
            *problem(f"it claims {len(pinned)} pinned cores", when=len(pinned) != CORES),
            *problem(
                f"it claims {amounts}",
                when=amounts != {"cores": CORES, "memory_mib": 0, "huge_pages": MEMORY_MIB // 2},
            ),
        ]


class ResizeMany(RequestScenario):
    """One machine after the other, as children of one operation: the first is off, the second runs."""

    name = "resize_many"
    kinds = (OperationKind.BULK, OperationKind.RESIZE)

    async def prepare(self, site: Site) -> tuple[HostMachine, HostMachine]:
        off = await composed(site, cores="1", memory="1024")
        return off, await composed(site, host=off.host, cores="1", memory="1024", power_on="true")

    async def request(self, site: Site, state: tuple[HostMachine, HostMachine]) -> Request:
        fields = {"action": "resize", "cores": str(CORES), "memory": str(MEMORY_MIB), "at_once": "1"}
        return Request(path="machines/", op="bulk", fields={**fields, "machines": [one.system_id for one in state]})

    async def check(self, site: Site, state: tuple[HostMachine, HostMachine], outcome: Outcome) -> Iterable[str]:
        """Each machine has exactly one child."""
        children = await site.deployment.get(f"operations/?parent={outcome.operation['id']}")
        found = sorted((one["system_id"], one["state"]) for one in children)
        return [
            *await problems_of(site, state[0], running=False),
            *await problems_of(site, state[1], running=True),
            *problem(f"the children are {found}", when=found != sorted((one.system_id, "succeeded") for one in state)),
        ]


async def problems_of(site: Site, state: HostMachine, *, running: bool) -> list[str]:
    """The machine has or is promised the size, and its claims are those of that size."""
    found = await site.deployment.get(state.path)
    known, pending = (found["cpu_count"], found["memory"]), found["pending"]
    after = known if pending is None else (pending["cores"], pending["memory"])
    actual = await asyncio.to_thread(state.host.size, state.hostname)
    held = await site.deployment.fetch(
        "select resource, amount from claim c join machine m on m.id = c.machine_id"
        " where m.system_id = $1 and resource in ('cores', 'memory_mib') order by resource",
        state.system_id,
    )
    amounts = tuple(row["amount"] for row in held)
    return [
        *problem(f"the guest has {actual}, known is {known}", when=actual is not None and actual != known),
        *problem(f"it will have {after}", when=after != (CORES, MEMORY_MIB)),
        *problem(f"{pending} is pending while it was off", when=pending is not None and not running),
        *problem(f"it claims {amounts}", when=amounts != (CORES, MEMORY_MIB)),
    ]
