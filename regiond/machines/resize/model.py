"""Rules of resizes: what is refused, and what changes when, in words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from common.capacity import Capacity, ResourceCapacity
from common.errors import InvalidRequest, WrongState
from common.phrases import number_of
from common.values import GuestSize, PowerState
from regiond.machines.compose.requirements import LARGEST, MIN_MEMORY_MIB
from regiond.machines.model import AS_IT_IS, MAX_CORES, Amount, MachineView, ResizePlan, SizeRequest, Takes
from regiond.quotas.model import Charge, Holdings
from regiond.validation_messages import outside


@frozen(kw_only=True)
class Sizing:
    """The facts of a machine on which its resize depends, in the shape of its row."""

    cores: int
    memory_mib: int
    pending_cores: int | None
    pending_memory_mib: int | None
    pinned_core_ids: tuple[int, ...]
    huge_page_size_kib: int | None
    account_id: int | None  # whose quota counts it
    pool_id: int

    @property
    def now(self) -> GuestSize:
        return GuestSize(cores=self.cores, memory_mib=self.memory_mib)

    @property
    def held(self) -> GuestSize:
        """Its claims: the larger of what it has and what it gets at its next start."""
        return self.now.or_more(self.wanted)

    @property
    def wanted(self) -> GuestSize:
        """The size that it has after its next start."""
        return GuestSize(cores=self.pending_cores or self.cores, memory_mib=self.pending_memory_mib or self.memory_mib)

    def charge_of(self, wanted: GuestSize) -> Charge:
        """Returns what it claims more at once to get that size."""
        after = self.now.or_more(wanted)
        more = Holdings(
            cores=max(0, after.cores - self.held.cores), memory_mib=max(0, after.memory_mib - self.held.memory_mib)
        )
        return Charge(account_id=self.account_id, pool_id=self.pool_id, asked=more)


def check_sizing(machine: MachineView, sizing: Sizing, wanted: GuestSize) -> None:
    """Raises WrongState for what cannot be resized: the reason, and what would help."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    if sizing.pinned_core_ids and wanted.cores != sizing.cores:
        raise WrongState(
            f"{machine.hostname} is pinned to {number_of(len(sizing.pinned_core_ids), 'core')} of {machine.host_name}, "
            "and keeps their number. Its memory can be changed; for other cores, compose another machine."
        )
    if sizing.huge_page_size_kib is not None and wanted.memory_mib != sizing.memory_mib:
        raise WrongState(
            f"The memory of {machine.hostname} is in huge pages of {sizing.huge_page_size_kib} KiB, and stays as it "
            "is. Its cores can be changed; for another amount of memory, compose another machine."
        )


def check_size(size: SizeRequest) -> None:
    """Raises InvalidRequest without cores and memory, and for amounts that no machine can have."""
    if size == AS_IT_IS:
        raise InvalidRequest.of({"cores": ["Name the cores, the memory or both."]})
    problems: dict[str, list[str]] = {}
    if size.cores is not None and not 1 <= size.cores <= MAX_CORES:
        problems["cores"] = [outside(size.cores, 1, MAX_CORES)]
    if size.memory_mib is not None and not MIN_MEMORY_MIB <= size.memory_mib <= LARGEST:
        problems["memory"] = [outside(size.memory_mib, MIN_MEMORY_MIB, LARGEST, "MiB")]
    if problems:
        raise InvalidRequest.of(problems)


def requested_size(sizing: Sizing, size: SizeRequest) -> GuestSize:
    """Returns the size after the next start; what the request leaves out stays as it will be then."""
    return GuestSize(cores=size.cores or sizing.wanted.cores, memory_mib=size.memory_mib or sizing.wanted.memory_mib)


def resize_plan(machine: MachineView, sizing: Sizing, wanted: GuestSize) -> ResizePlan:
    runs = machine.power_state != PowerState.OFF
    cores = Amount(now=sizing.cores, wanted=wanted.cores, takes_effect=_when(sizing.cores, wanted.cores, runs=runs))
    memory_mib = Amount(
        now=sizing.memory_mib,
        wanted=wanted.memory_mib,
        takes_effect=_when(sizing.memory_mib, wanted.memory_mib, runs=runs, shrinks_at_start=True),
    )
    return ResizePlan(
        name=machine.hostname,
        cores=cores,
        memory_mib=memory_mib,
        effects=(
            *_effects(machine.hostname, cores, number_of(cores.wanted, "core"), f"{cores.now}"),
            *_effects(machine.hostname, memory_mib, f"{memory_mib.wanted} MiB of memory", f"{memory_mib.now}"),
            *_claims(machine, sizing, wanted),
        ),
        charge=sizing.charge_of(wanted),
        frees=_freed(sizing, wanted, runs=runs),
    )


def _freed(sizing: Sizing, wanted: GuestSize, *, runs: bool) -> Holdings:
    """Returns what it certainly claims less when the operation has ended: what a guest that runs gives back is not."""
    after = sizing.now.or_more(wanted) if runs else wanted
    return Holdings(
        cores=max(0, sizing.held.cores - after.cores), memory_mib=max(0, sizing.held.memory_mib - after.memory_mib)
    )


def _when(now: int, wanted: int, *, runs: bool, shrinks_at_start: bool = False) -> Takes:
    """Memory is never taken from a running guest: its system may not survive that."""
    if now == wanted:
        return Takes.NO_EFFECT
    if not runs:
        return Takes.NOW
    return Takes.AT_START if shrinks_at_start and wanted < now else Takes.IF_POSSIBLE


_WHEN = {
    Takes.NOW: "now",
    Takes.IF_POSSIBLE: "now if its hypervisor can change a running VM, else when Innkeeper next starts it",
    Takes.AT_START: "when Innkeeper next starts it",
}


def _effects(hostname: str, amount: Amount, text: str, now: str) -> Iterator[str]:
    if amount.takes_effect is not Takes.NO_EFFECT:
        yield f"{hostname} gets {text} instead of {now}, {_WHEN[amount.takes_effect]}."


def _claims(machine: MachineView, sizing: Sizing, wanted: GuestSize) -> Iterator[str]:
    asked = sizing.charge_of(wanted).asked
    cores, memory_mib = asked.cores, asked.memory_mib
    more = [number_of(cores, "core")] * (cores > 0) + [f"{memory_mib} MiB of memory"] * (memory_mib > 0)
    if more:
        yield f"It claims {' and '.join(more)} more of {machine.host_name} at once."
    elif wanted == sizing.now != sizing.wanted:
        yield f"{machine.hostname} keeps the size that it has: what is pending is cancelled."
    elif wanted != sizing.now.or_more(wanted):
        yield "What it no longer uses is free for others once it has the new size."


def shortage(machine: MachineView, capacity: Capacity | None, *, cores: int, memory_mib: int) -> str:
    """Returns why the host does not have this much more, in numbers."""
    if capacity is None:
        return f"The capacity of {machine.host_name} is unknown. Refresh it, and try again."
    missing = [
        *_missing("cores", "", capacity.cores, cores),
        *_missing("memory", " MiB", capacity.memory_mib, memory_mib),
    ]
    if not missing:
        return f"{machine.host_name} takes no more claims: it is in maintenance or being removed, or was just filled."
    return f"{machine.host_name} has too little left for {machine.hostname}: {'; '.join(missing)}."


def _missing(what: str, unit: str, capacity: ResourceCapacity, more: int) -> Iterator[str]:
    if more > capacity.free:
        yield f"{what}: {more}{unit} more asked, {capacity.free} of {capacity.claimable} claimable left"
