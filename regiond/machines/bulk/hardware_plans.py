"""Plans of new disks and NICs of many machines: each is judged beside those before it. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from common.errors import InnkeeperError, OutOfCapacity
from common.units import gb
from regiond.machines.bulk.named_parts import Need
from regiond.machines.hardware.disks.model import add_plan as disk_plan
from regiond.machines.hardware.disks.placement import pool_on
from regiond.machines.hardware.nic_changes.attachment import attached_on
from regiond.machines.hardware.nic_changes.model import add_plan as nic_plan
from regiond.machines.hardware.nic_changes.model import checked_name
from regiond.machines.values.disks import DiskPlan, DiskToAdd
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicPlan, NicToAdd
from regiond.placement.candidate import Candidate
from regiond.placement.nic_attachment import port_of
from regiond.placement.requirements import NicRequirement
from regiond.placement.storage_assignment import whole_size

P = TypeVar("P")
_REST = "The machines before it take the rest."


def disks_within_capacity(
    machines: Sequence[MachineView], plans: Sequence[DiskPlan | str], hosts: Mapping[int, Candidate], disk: DiskToAdd
) -> list[DiskPlan | str]:
    """Returns the plans with the storage pool that each disk gets, or the reason why none has the space."""
    taken = Counter[tuple[int | None, str | int]]()  # bytes by server and storage: hosts and pools share them

    def judged(machine: MachineView, plan: DiskPlan, host: Candidate) -> DiskPlan:
        pools = tuple(
            evolve(one, free_bytes=one.free_bytes - taken[host.server_id, one.storage]) for one in host.storage_pools
        )
        pool = pool_on(evolve(host, storage_pools=pools), machine, disk)
        size_bytes = whole_size(disk.size_bytes, product=machine.product)
        chosen = next(one for one in host.storage_pools if one.id == pool.id)
        taken[host.server_id, chosen.storage] += size_bytes
        return disk_plan(machine, size_bytes, pool.name, plan.charge)

    return _each(machines, plans, hosts, judged)


def needs_within_capacity(
    machines: Sequence[MachineView],
    plans: Sequence[DiskPlan | str],
    hosts: Mapping[int, Candidate],
    need_of: Callable[[MachineView], Need],
) -> list[DiskPlan | str]:
    """Returns the plans, or the reason why the storage pool has too little for what the change needs more."""
    taken = Counter[tuple[int | None, str | int]]()  # bytes by server and storage

    def judged(machine: MachineView, plan: DiskPlan, host: Candidate) -> DiskPlan:
        need = need_of(machine)
        pool = next((one for one in host.storage_pools if one.name == need.pool), None)
        if pool is None or need.size_bytes == 0:
            return plan  # the plan of one machine was judged already
        left_bytes = pool.free_bytes - taken[host.server_id, pool.storage]
        if need.size_bytes > left_bytes:
            raise OutOfCapacity(
                f"{need.pool} of {host.name} has {gb(max(0, left_bytes))} left; {gb(need.size_bytes)} more asked."
            )
        taken[host.server_id, pool.storage] += need.size_bytes
        return plan

    return _each(machines, plans, hosts, judged)


def nics_within_capacity(
    machines: Sequence[MachineView],
    plans: Sequence[NicPlan | str],
    hosts: Mapping[int, Candidate],
    nic: NicToAdd,
    wanted: tuple[NicRequirement, ...],
) -> list[NicPlan | str]:
    """Returns the plans with the interface that each NIC is on, or the reason why no virtual function is left."""
    taken: Mapping[object, Counter[str]] = defaultdict(Counter)  # virtual functions by server and port

    def judged(machine: MachineView, plan: NicPlan, host: Candidate) -> NicPlan:
        used = taken[host.server_id]
        interfaces = tuple(
            evolve(one, functions_free=max(0, one.functions_free - used[port_of(one)])) for one in host.interfaces
        )
        attachment = attached_on(evolve(host, interfaces=interfaces), machine, wanted)
        if attachment.function_port is not None:
            used[attachment.function_port] += 1
        return nic_plan(machine, checked_name(machine, nic, attachment), attachment)

    return _each(machines, plans, hosts, judged)


def _each(
    machines: Sequence[MachineView],
    plans: Sequence[P | str],
    hosts: Mapping[int, Candidate],
    judged: Callable[[MachineView, P, Candidate], P],
) -> list[P | str]:
    found: list[P | str] = []
    for machine, plan in zip(machines, plans, strict=True):
        host = None if machine.host_id is None else hosts.get(machine.host_id)
        if isinstance(plan, str) or host is None:
            found.append(plan)
            continue
        try:
            found.append(judged(machine, plan, host))
        except InnkeeperError as error:  # it had room by itself
            found.append(f"{error.message} {_REST}")
    return found
