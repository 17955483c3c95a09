"""Plans of many machines, a few at a time: what a bulk resize would change, counted together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from common.capacity import Capacity, ResourceCapacity
from common.errors import DatabaseUnavailable, InnkeeperError
from common.phrases import number_of
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.ledger import service as ledger
from regiond.ledger.model import HostCapacity
from regiond.machines.model import MachineView, ResizePlan, SizeRequest
from regiond.machines.resize.model import shortage
from regiond.machines.resize.service import Resizes
from regiond.quotas.model import Holdings
from regiond.quotas.service import refusals_now

_AT_ONCE = 4  # each plan takes a connection to the database
T = TypeVar("T")
_Plan = ResizePlan | str  # or the reason why the machine stays as it is


async def in_turn(machines: Sequence[MachineView], plan: Callable[[MachineView], Awaitable[T]]) -> list[T]:
    """Returns the plans in the order of the machines."""
    return [
        one
        for first in range(0, len(machines), _AT_ONCE)
        for one in await asyncio.gather(*map(plan, machines[first : first + _AT_ONCE]))
    ]


def stays(machine: MachineView, reason: str) -> str:
    return f"{machine.hostname} stays as it is: {reason}"


class BulkResizePlans:
    def __init__(self, database: Database, resizes: Resizes) -> None:
        self._database = database
        self._resizes = resizes

    async def effects(self, caller: Caller, machines: Sequence[MachineView], size: SizeRequest) -> tuple[str, ...]:
        """Returns a sentence or more for each machine in their order, and how many are resized. Changes nothing.

        Each machine is judged with the claims of those before it: together they may not fit where each one would.
        """

        async def plan(machine: MachineView) -> _Plan:
            try:
                return await self._resizes.plan(caller, machine.system_id, cores=size.cores, memory_mib=size.memory_mib)
            except DatabaseUnavailable:
                raise
            except InnkeeperError as error:
                return error.message

        plans = await self._within_capacity(machines, await in_turn(machines, plan))
        plans = await self._within_quotas(plans)
        return tuple(_effects(machines, plans))

    async def _within_capacity(self, machines: Sequence[MachineView], plans: Sequence[_Plan]) -> list[_Plan]:
        async with self._database.connection() as db:
            hosts = await ledger.capacities_of_hosts(db, {one.host_id for one in machines if one.host_id is not None})
        return within_capacity(machines, plans, {one.host_id: one for one in hosts})

    async def _within_quotas(self, plans: Sequence[_Plan]) -> list[_Plan]:
        charged = [one for one in plans if isinstance(one, ResizePlan) and one.charge.asked != Holdings()]
        async with self._database.connection() as db:
            refused = await refusals_now(db, [one.charge for one in charged])
        reasons = {id(one): reason for one, reason in zip(charged, refused, strict=True) if reason}
        return [reasons.get(id(one), one) for one in plans]


def within_capacity(
    machines: Sequence[MachineView], plans: Sequence[_Plan], hosts: Mapping[int, HostCapacity]
) -> list[_Plan]:
    """Returns the plans, with the reason in place of each that has no room beside those before it. Pure."""
    taken: dict[object, Holdings] = defaultdict(Holdings)  # by server: its hosts share the capacity
    judged: list[_Plan] = []
    for machine, plan in zip(machines, plans, strict=True):
        host = None if machine.host_id is None else hosts.get(machine.host_id)
        if isinstance(plan, str) or host is None or host.capacity is None or plan.charge.asked == Holdings():
            judged.append(plan)
            continue
        asked, left = plan.charge.asked, _without(host.capacity, taken[host.server_id])
        if asked.cores > left.cores.free or asked.memory_mib > left.memory_mib.free:
            short = shortage(machine, left, cores=asked.cores, memory_mib=asked.memory_mib)
            judged.append(f"{short} The machines before it take the rest.")
            continue
        taken[host.server_id] += asked
        judged.append(plan)
    return judged


def _without(capacity: Capacity, taken: Holdings) -> Capacity:
    return evolve(
        capacity, cores=_less(capacity.cores, taken.cores), memory_mib=_less(capacity.memory_mib, taken.memory_mib)
    )


def _less(one: ResourceCapacity, taken: int) -> ResourceCapacity:
    return evolve(one, free=max(0, one.free - taken))


def _effects(machines: Sequence[MachineView], plans: Sequence[_Plan]) -> Iterator[str]:
    resized = 0
    for machine, plan in zip(machines, plans, strict=True):
        if isinstance(plan, str):
            yield stays(machine, plan)
        elif plan.effects:
            resized += 1
            yield " ".join(plan.effects)
        else:
            yield f"{machine.hostname} has this size already."
    yield f"{number_of(resized, 'machine')} {'is' if resized == 1 else 'are'} resized."
