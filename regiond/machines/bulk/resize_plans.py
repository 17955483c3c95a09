"""Plans of the resizes of many machines, counted together. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen

from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.ledger.model import HostCapacity
from regiond.machines.hardware.resize.model import shortage
from regiond.machines.values.model import MachineView
from regiond.machines.values.resize import ResizePlan
from regiond.quotas.model import Charge, Holdings

_NEEDS_OTHERS = "It has room once machines before it have given back what they lose; at_once=1 waits for each of them."


@frozen(kw_only=True)
class _Judged:
    """The amounts of a server that the machines before it take and give back."""

    taken: Holdings = field(factory=Holdings)
    freed: Holdings = field(factory=Holdings)


def balance(plan: ResizePlan) -> Charge:
    """Returns what the machine comes to hold more; negative: less."""
    return evolve(plan.charge, asked=plan.charge.asked - plan.frees)


def within_capacity(
    machines: Sequence[MachineView], plans: Sequence[ResizePlan | str], hosts: Mapping[int, HostCapacity]
) -> list[ResizePlan | str]:
    """Returns the plans, with the reason in place of each that has no room beside those before it. Pure.

    What a machine certainly frees is there for those after it; a plan that needs it says so.
    """
    by_server: dict[object, _Judged] = defaultdict(_Judged)  # its hosts share the capacity
    judged: list[ResizePlan | str] = []
    for machine, plan in zip(machines, plans, strict=True):
        host = None if machine.host_id is None else hosts.get(machine.host_id)
        if isinstance(plan, str) or host is None:
            judged.append(plan)
            continue
        before = by_server[host.server_id]
        found = _judged(machine, plan, host, before)
        judged.append(found)
        if not isinstance(found, str):
            by_server[host.server_id] = _Judged(taken=before.taken + plan.claims, freed=before.freed + plan.gives_back)
    return judged


def _judged(machine: MachineView, plan: ResizePlan, host: HostCapacity, before: _Judged) -> ResizePlan | str:
    asked, capacity = plan.claims, host.capacity
    if asked == Holdings():
        return plan
    if capacity is None or not host.takes_claims:
        return shortage(machine, capacity, cores=asked.cores, memory_mib=asked.memory_mib)
    if _fits(_left(capacity, before.taken), asked):
        return plan
    left = _left(capacity, before.taken - before.freed)
    if _fits(left, asked):
        return evolve(plan, effects=(*plan.effects, _NEEDS_OTHERS))
    short = shortage(machine, left, cores=asked.cores, memory_mib=asked.memory_mib)
    return f"{short} The machines before it take the rest." if before.taken != Holdings() else short


def _fits(left: Capacity, asked: Holdings) -> bool:
    return asked.cores <= left.cores.free and asked.memory_mib <= left.memory_mib.free


def _left(capacity: Capacity, taken: Holdings) -> Capacity:
    return evolve(
        capacity, cores=_less(capacity.cores, taken.cores), memory_mib=_less(capacity.memory_mib, taken.memory_mib)
    )


def _less(one: ResourceCapacity, taken: int) -> ResourceCapacity:
    """Returns the resource with less free. What is claimed beyond what is claimable is not free when given back."""
    return evolve(one, free=max(0, one.claimable - one.claimed - one.elsewhere - taken))
