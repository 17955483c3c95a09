"""The change of hardware that a bulk operation makes to each machine: opened, or told before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InvalidRequest
from regiond.db.pool import Database
from regiond.ledger import capacities
from regiond.ledger.model import DiscreteResources, HostCapacity
from regiond.machines.bulk.hardware_plans import disks_within_capacity, needs_within_capacity, nics_within_capacity
from regiond.machines.bulk.named_parts import named_nic, needed
from regiond.machines.bulk.plans import plans_or_reasons, sentences, within_quotas
from regiond.machines.bulk.resize_plans import balance, within_capacity
from regiond.machines.core.candidate_store import read_candidates
from regiond.machines.core.wanted_nics import resolve_nics
from regiond.machines.hardware.boot.model import checked_order
from regiond.machines.hardware.disks.model import check_new
from regiond.machines.hardware.hardware_kinds import HardwareChanges
from regiond.machines.hardware.nic_changes.model import one_requirement
from regiond.machines.hardware.resize.binding import newly_taken, together
from regiond.machines.hardware.resize.changes import Resize
from regiond.machines.hardware.resize.model import check_size
from regiond.machines.values.boot import BootToSet
from regiond.machines.values.bulk import BulkAction, BulkChange
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import DiskPlan, DiskToAdd, NamedDisk
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NamedNic, NicPlan, NicToAdd
from regiond.machines.values.resize import ResizePlan, SizeRequest, Takes
from regiond.operations.model import Operation, Parent
from regiond.placement.requirements import NicRequirement
from regiond.requests.caller import Caller


@frozen
class BulkChanges:
    """The same change for many machines. One that does not fit stops no other."""

    database: Database
    hardware: HardwareChanges

    async def check(self, caller: Caller, change: BulkChange) -> None:
        """Raises InvalidRequest by field for a change that no machine can have, or that only one machine can have."""
        _check(change)
        if isinstance(change, NicToAdd | NamedNic) and change.constraint:
            async with self.database.connection() as db:
                await resolve_nics(db, _requirements(change.constraint), caller=caller)

    async def start(self, caller: Caller, machine: MachineView, change: BulkChange, parent: Parent) -> Operation:
        """Returns the child that changes the machine. Raises the errors of the change of one machine."""
        return await self.hardware.start(caller, machine.system_id, _asked(machine, change), parent=parent)

    async def effects(
        self, caller: Caller, action: BulkAction, machines: Sequence[MachineView], change: BulkChange
    ) -> tuple[str, ...]:
        """Returns a sentence or more for each machine in their order, and how many are changed. Changes nothing.

        Each machine is judged with the claims of those before it: together they may not fit where each one would.
        """
        match change:
            case SizeRequest():
                sizes = await self._resizes(caller, machines, change)
                return tuple(sentences(action, machines, sizes, lambda plan: bool(plan.effects)))
            case DiskToAdd():
                disks = await self._disks(caller, machines, change)
                return tuple(sentences(action, machines, disks, lambda _: True))
            case NamedDisk():
                changed = await self._named_disks(caller, machines, change)
                return tuple(sentences(action, machines, changed, lambda _: True))
            case BootToSet():
                boots = await plans_or_reasons(
                    machines,
                    lambda one: self.hardware.plan(caller, one.system_id, change),
                )
                return tuple(sentences(action, machines, boots, lambda plan: plan.takes_effect is not Takes.NO_EFFECT))
            case NicToAdd():
                nics = await self._nics(caller, machines, change)
                return tuple(sentences(action, machines, nics, lambda _: True))
            case NamedNic():
                found = await plans_or_reasons(machines, lambda one: self._plan_of_nic(caller, one, change))
                return tuple(sentences(action, machines, found, lambda _: True))

    async def _resizes(
        self, caller: Caller, machines: Sequence[MachineView], size: SizeRequest
    ) -> list[ResizePlan | str]:
        found = await plans_or_reasons(
            machines, lambda one: self.hardware.of(Resize).claimless_plan(caller, one.system_id, size)
        )
        async with self.database.connection() as db:
            hosts = {one.host_id: one for one in await capacities.capacities_of_hosts(db, _hosts_of(machines))}
        bound = await self._bound_beside(caller, machines, found, size, hosts)
        return await within_quotas(self.database, within_capacity(machines, bound, hosts), balance)

    async def _bound_beside(
        self,
        caller: Caller,
        machines: Sequence[MachineView],
        plans: Sequence[ResizePlan | str],
        size: SizeRequest,
        hosts: Mapping[int, HostCapacity],
    ) -> list[ResizePlan | str]:
        """Returns the plans, each with cores and huge pages that those before it leave. What they give back is not
        counted: which of it is free by then depends on how many are resized at once."""
        taken: dict[object, DiscreteResources] = {}  # by server
        judged: list[ResizePlan | str] = []
        for machine, first in zip(machines, plans, strict=True):
            plan, host = first, hosts.get(machine.host_id or 0)
            if not isinstance(plan, str) and host is not None and plan.bound_then != plan.bound:
                others = taken.get(host.server_id)
                if others is not None:
                    plan = await self._beside(caller, machine, size, others)
                if not isinstance(plan, str):
                    more = newly_taken(plan.bound, plan.bound_then)
                    taken[host.server_id] = more if others is None else together(others, more)
            judged.append(plan)
        return judged

    async def _beside(
        self, caller: Caller, machine: MachineView, size: SizeRequest, taken: DiscreteResources
    ) -> ResizePlan | str:
        found = await plans_or_reasons(
            [machine], lambda one: self.hardware.of(Resize).claimless_plan(caller, one.system_id, size, taken=taken)
        )
        return found[0]

    async def _disks(self, caller: Caller, machines: Sequence[MachineView], disk: DiskToAdd) -> list[DiskPlan | str]:
        found = await plans_or_reasons(machines, lambda one: self.hardware.plan(caller, one.system_id, disk))
        async with self.database.connection() as db:
            hosts = await read_candidates(db, _hosts_of(machines), with_nodes=False)
        return await within_quotas(
            self.database, disks_within_capacity(machines, found, hosts, disk), lambda plan: plan.charge
        )

    async def _named_disks(
        self, caller: Caller, machines: Sequence[MachineView], change: NamedDisk
    ) -> list[DiskPlan | str]:
        async def plan_of(machine: MachineView) -> DiskPlan:
            plan: DiskPlan = await self.hardware.plan(caller, machine.system_id, _asked(machine, change))
            return plan

        found = await plans_or_reasons(machines, plan_of)
        async with self.database.connection() as db:
            hosts = await read_candidates(db, _hosts_of(machines), with_nodes=False)
        fitting = needs_within_capacity(machines, found, hosts, lambda machine: needed(machine, change))
        return await within_quotas(self.database, fitting, lambda plan: plan.charge)

    async def _plan_of_nic(self, caller: Caller, machine: MachineView, change: NamedNic) -> NicPlan:
        plan: NicPlan = await self.hardware.plan(caller, machine.system_id, _asked(machine, change))
        return plan

    async def _nics(self, caller: Caller, machines: Sequence[MachineView], nic: NicToAdd) -> list[NicPlan | str]:
        found = await plans_or_reasons(machines, lambda one: self.hardware.plan(caller, one.system_id, nic))
        async with self.database.connection() as db:
            hosts = await read_candidates(db, _hosts_of(machines), with_nodes=False)
            wanted = await resolve_nics(db, _requirements(nic.constraint), caller=caller)
        return nics_within_capacity(machines, found, hosts, nic, wanted)


def _asked(machine: MachineView, change: BulkChange) -> object:
    """Returns the change of this machine."""
    match change:
        case NamedDisk():
            return change.change_of(named_disk(machine.hostname, machine.disks, change.name).id)
        case NamedNic():
            return change.change_of(named_nic(machine, change.name).id)
        case _:
            return change


def _check(change: BulkChange) -> None:
    match change:
        case SizeRequest():
            check_size(change)
        case DiskToAdd():
            check_new(change)
        case BootToSet():
            checked_order(change.order)
        case NicToAdd() | NamedNic():
            if any(one.ip is not None for one in _requirements(change.constraint or "")):
                reason = "A static address is for one machine: leave it out, and each of them gets its own by DHCP."
                raise InvalidRequest.of({"interfaces": [reason]})


def stored(change: BulkChange | None) -> Mapping[str, Any]:
    """Returns the fields of the bulk operation's request that have the change."""
    if isinstance(change, SizeRequest):
        return {
            "cores": change.cores, "memory_mib": change.memory_mib, "pin_cores": change.pin_cores,
            "huge_pages": change.huge_pages, "huge_page_size_mib": change.huge_page_size_mib,
        }  # fmt: skip
    return {} if change is None else {_FIELDS[type(change)]: change}


_FIELDS: Mapping[type[BulkChange], str] = {
    DiskToAdd: "disk",
    NamedDisk: "named_disk",
    BootToSet: "boot",
    NicToAdd: "nic",
    NamedNic: "named_nic",
}


def _requirements(constraint: str) -> tuple[NicRequirement, ...]:
    return (one_requirement(constraint),) if constraint else ()


def _hosts_of(machines: Iterable[MachineView]) -> set[int]:
    return {one.host_id for one in machines if one.host_id is not None}
