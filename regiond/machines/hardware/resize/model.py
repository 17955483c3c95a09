"""Rules of resizes: what is refused, and what changes when, in words and numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from attrs import evolve, frozen

from common.errors import InvalidRequest, WrongState
from common.guests.sizes import GuestSize
from common.hosts.capacity import Capacity, ResourceCapacity
from common.values import PowerState
from common.words.phrases import number_of
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources, read_pages_key
from regiond.machines.hardware.resize.binding import is_bound, page_size
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import LARGEST, MIN_MEMORY_MIB
from regiond.machines.values.resize import AS_IT_IS, MAX_CORES, Amount, ResizePlan, SizeRequest, Takes
from regiond.placement.cpu_pinning import core_ranges
from regiond.quotas.model import Charge, Holdings
from regiond.requests.validation_messages import outside


@frozen(kw_only=True)
class Sizing:
    """The facts of a machine on which its resize depends, in the shape of its row."""

    cores: int
    memory_mib: int
    pending_cores: int | None
    pending_memory_mib: int | None
    bound: DiscreteResources  # its pinned cores and huge pages
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

    def claims_of(self, wanted: GuestSize, then: DiscreteResources) -> Holdings:
        """Returns what it claims more at once of the cores and the general memory of its host."""
        before = 0 if self.bound.huge_pages else self.held.memory_mib
        after = 0 if then.huge_pages else self.now.or_more(wanted).memory_mib
        return Holdings(cores=self.charge_of(wanted).asked.cores, memory_mib=max(0, after - before))


def check_sizing(machine: MachineView, sizing: Sizing, wanted: GuestSize, then: DiscreteResources) -> None:
    """Raises WrongState for what cannot be resized: the reason, and what would help."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    if not (is_bound(sizing.bound) or is_bound(then)) or (wanted, then) == (sizing.now, sizing.bound):
        return
    if machine.power_state != PowerState.OFF:
        raise WrongState(
            f"{machine.hostname} is not off, and {_bonds(sizing.bound, then)}: these, and the size of what is bound to "
            f"them, change only while it is off. Power it off, then resize it: innkeeper machine power-off "
            f"{machine.system_id}"
        )
    pinned = sizing.bound.pinned_core_ids
    if pinned and len(pinned) != sizing.cores and then.pinned_core_ids != pinned:
        raise WrongState(
            f"{machine.hostname} has {number_of(sizing.cores, 'core')} and {number_of(len(pinned), 'pinned core')} of "
            f"{machine.host_name}. Pin all of them or none there, and refresh it."
        )
    _check_prepared(machine, then)


def _bonds(now: DiscreteResources, then: DiscreteResources) -> str:
    """Returns such as `has pinned cores` or `is to have huge pages`."""
    either = {
        "pinned cores": (now.pinned_core_ids, then.pinned_core_ids),
        "huge pages": (now.huge_pages, then.huge_pages),
    }
    has = [word for word, (before, _) in either.items() if before]
    gets = [word for word, (before, after) in either.items() if after and not before]
    return " and ".join(
        [f"{verb} {' and '.join(words)}" for verb, words in (("has", has), ("is to get", gets)) if words]
    )


def _check_prepared(machine: MachineView, then: DiscreteResources) -> None:
    """Raises WrongState for a machine that was composed to get what bound ones cannot get while they run."""
    if then.pinned_core_ids and (machine.max_cores or 0) > 0:
        raise WrongState(
            f"{machine.hostname} was composed to get up to {machine.max_cores} cores while it runs, and pinned cores "
            "are as many as it has. Compose a machine without max_cores."
        )
    if then.huge_pages and (machine.max_memory_mib or 0) > 0:
        raise WrongState(
            f"{machine.hostname} was composed to get up to {machine.max_memory_mib} MiB while it runs, and memory in "
            "huge pages stays as it is then. Compose a machine without max_memory."
        )


def check_size(size: SizeRequest) -> None:
    """Raises InvalidRequest for a request without any change, and for what no machine can have."""
    if evolve(size, pinned_cores=size.pinned_cores or None) == AS_IT_IS:
        raise InvalidRequest.of(
            {"cores": ["Name the cores, the memory or both. Pinned cores and huge pages are a size, too."]}
        )
    problems: dict[str, list[str]] = _pin_problems(size)
    if size.cores is not None and not 1 <= size.cores <= MAX_CORES:
        problems["cores"] = [outside(size.cores, 1, MAX_CORES)]
    if size.memory_mib is not None and not MIN_MEMORY_MIB <= size.memory_mib <= LARGEST:
        problems["memory"] = [outside(size.memory_mib, MIN_MEMORY_MIB, LARGEST, "MiB")]
    if problems:
        raise InvalidRequest.of(problems)


def _pin_problems(size: SizeRequest) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    ids = size.pinned_cores or ()
    repeated = sorted(core_id for core_id, times in Counter(ids).items() if times > 1)
    pins = len(ids) or size.pin_cores
    if size.huge_page_size_mib is not None and size.huge_pages is False:
        problems["hugepage_size"] = ["This requires hugepages_backed."]
    if size.cores is not None and pins and size.cores != pins:
        problems["cores"] = [f"{number_of(pins, 'core')} pinned, one for each core of the machine: leave this out."]
    if len(ids) > MAX_CORES:
        problems["pinned_cores"] = [f"{len(ids)} cores requested; the limit is {MAX_CORES}."]
    if repeated:
        problems["pinned_cores"] = [f"Core {', '.join(map(str, repeated))} is given more than once."]
    if size.pin_cores is not None and not 0 <= size.pin_cores <= MAX_CORES:
        problems["pin_cores"] = [outside(size.pin_cores, 0, MAX_CORES)]
    if ids and size.pin_cores is not None:
        problems["pin_cores"] = ["Use either pinned_cores (core ids) or pin_cores (a number), not both."]
    return problems


def requested_size(sizing: Sizing, size: SizeRequest) -> GuestSize:
    """Returns the size after the next start; what the request leaves out stays as it will be then."""
    cores = len(size.pinned_cores or ()) or size.pin_cores or size.cores or sizing.wanted.cores
    return GuestSize(cores=cores, memory_mib=size.memory_mib or sizing.wanted.memory_mib)


def resize_plan(
    machine: MachineView, sizing: Sizing, wanted: GuestSize, then: DiscreteResources = NO_DISCRETE_RESOURCES
) -> ResizePlan:
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
            *_bindings(machine.hostname, sizing.bound, then),
            *_claims(machine, sizing, wanted, then),
        ),
        charge=sizing.charge_of(wanted),
        frees=_freed(sizing, wanted, runs=runs),
        claims=sizing.claims_of(wanted, then),
        gives_back=_given_back(sizing, wanted, then, runs=runs),
        bound=sizing.bound,
        bound_then=then,
    )


def _given_back(sizing: Sizing, wanted: GuestSize, then: DiscreteResources, *, runs: bool) -> Holdings:
    """As `_freed`, of the cores and the general memory of its host."""
    freed = _freed(sizing, wanted, runs=runs)
    if sizing.bound.huge_pages:
        return evolve(freed, memory_mib=0)
    return evolve(freed, memory_mib=sizing.held.memory_mib) if then.huge_pages else freed


def _bindings(hostname: str, now: DiscreteResources, then: DiscreteResources) -> Iterator[str]:
    if now.pinned_core_ids != then.pinned_core_ids:
        yield f"{hostname} is {_pins(then)} instead of {_pins(now)}, now."
    if now.huge_pages != then.huge_pages:
        yield f"Its memory is in {_pages(then.huge_pages)} instead of {_pages(now.huge_pages)}, now."


def _pins(bound: DiscreteResources) -> str:
    ids = bound.pinned_core_ids
    return f"pinned to {'core' if len(ids) == 1 else 'cores'} {core_ranges(ids)} of the host" if ids else "not pinned"


def _pages(pages: Mapping[str, int]) -> str:
    """Returns such as `512 huge pages of 2048 KiB on NUMA node 0`."""
    found = [(*read_pages_key(key), count) for key, count in sorted(pages.items())]
    texts = [
        f"{number_of(count, 'huge page')} of {page_size(kib)} on NUMA node {node_id}" for node_id, kib, count in found
    ]
    return " and ".join(texts) or "general memory"


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


def _claims(machine: MachineView, sizing: Sizing, wanted: GuestSize, then: DiscreteResources) -> Iterator[str]:
    asked = sizing.claims_of(wanted, then)
    cores, memory_mib = asked.cores, asked.memory_mib
    pins = len({*then.pinned_core_ids} - {*sizing.bound.pinned_core_ids})
    pages = sum(max(0, count - sizing.bound.huge_pages.get(key, 0)) for key, count in then.huge_pages.items())
    more = [
        *[number_of(cores, "core")] * (cores > 0),
        *[f"{memory_mib} MiB of memory"] * (memory_mib > 0),
        *[number_of(pins, "pinned core")] * (pins > 0),
        *[number_of(pages, "huge page")] * (pages > 0),
    ]
    if more:
        yield f"It claims {_listed(more)} more of {machine.host_name} at once."
    elif wanted == sizing.now != sizing.wanted:
        yield f"{machine.hostname} keeps the size that it has: what is pending is cancelled."
    elif wanted != sizing.now.or_more(wanted) or then != sizing.bound:
        yield "What it no longer uses is free for others once it has the new size."


def _listed(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


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
