"""Finds machines whose guest, size, claims or state do not match."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from common.words.phrases import number_of
from regiond.machines.values.states import TRANSIENT, MachineState
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, MachineSubject, RepairPolicy

_HAS_GUEST = (
    MachineState.READY,
    MachineState.ALLOCATED,
    MachineState.DEPLOYED,
    MachineState.FAILED_DEPLOYMENT,
    MachineState.FAILED,
    MachineState.BROKEN,
)

_REMEDIES = {
    MachineState.COMPOSING: "This undoes the compose: it deletes the guest and releases the claims.",
    MachineState.ADOPTING: "This undoes the adoption; the guest is not changed.",
    MachineState.DEPLOYING: "This marks the deployment as failed; release the machine and deploy it again.",
    MachineState.RELEASING: "This returns the machine to its former state; release it again.",
    MachineState.DELETING: "This returns the machine to its former state; delete it again.",
}


@frozen(kw_only=True)
class GuestFacts:
    """The guest of a machine, as the last refresh found it. 0 cores or MiB: unknown."""

    name: str
    host_name: str | None
    on_its_host: bool  # on the server, and in the LXD project, of the machine's host
    cores: int
    memory_mib: int
    pinned_core_ids: frozenset[int]

    @property
    def is_complete(self) -> bool:
        return bool(self.cores and self.memory_mib)


@frozen(kw_only=True)
class MachineFacts(MachineSubject):
    """A machine on which no operation acts. Claimed amounts are sums over its claims."""

    state: MachineState
    cores: int
    memory_mib: int
    pinned_core_ids: frozenset[int] = frozenset()
    missing_since: datetime | None = None
    clustered: bool = False  # the cluster may be moving the guest to another member
    guest: GuestFacts | None = None
    claimed_cores: int = 0
    claimed_memory_mib: int = 0
    claims_huge_pages: bool = False  # instead of general memory
    pending_cores: int | None = None  # from its next start on
    pending_memory_mib: int | None = None


def detect(machine: MachineFacts) -> Iterator[Discrepancy]:
    """Yields the discrepancies of the machine, at most two: of its guest and of its claims."""
    if machine.state in TRANSIENT:
        yield _without_operation(machine)
        return
    if machine.guest is None:
        if machine.state is MachineState.MISSING or (machine.state in _HAS_GUEST and not machine.clustered):
            yield _missing(machine)
    elif not machine.guest.on_its_host:
        yield _on_other_host(machine, machine.guest)
    elif machine.guest.is_complete:
        yield from _changed(machine, machine.guest)
    yield from _claims(machine)


def _without_operation(machine: MachineFacts) -> Discrepancy:
    """Returns the discrepancy of a transient state. It needs approval if a guest exists that undoing would delete."""
    has_guest = machine.state is MachineState.COMPOSING and machine.guest is not None
    guest = f"; its guest {machine.guest.name} exists" if machine.guest is not None else ""
    return Discrepancy.of(
        machine,
        DiscrepancyKind.STATE_WITHOUT_OPERATION,
        RepairPolicy.APPROVAL if has_guest else RepairPolicy.AUTOMATIC,
        found=f"the machine is {machine.state}, and no operation acts on it{guest}",
        expected="an operation that ends this state",
        remedy=_REMEDIES[machine.state],
        data_at_risk=has_guest,
    )


def _missing(machine: MachineFacts) -> Discrepancy:
    return Discrepancy.of(
        machine,
        DiscrepancyKind.MACHINE_MISSING,
        RepairPolicy.APPROVAL,
        found="its host reported no such guest",
        expected="a guest",
        remedy=f"This deletes {machine.hostname} from Innkeeper and keeps its volumes.",
        since=machine.missing_since,
        data_at_risk=True,
    )


def _on_other_host(machine: MachineFacts, guest: GuestFacts) -> Discrepancy:
    return Discrepancy.of(
        machine,
        DiscrepancyKind.GUEST_ON_OTHER_HOST,
        RepairPolicy.NONE,
        found=f"its guest {guest.name} is on {guest.host_name or 'a server without a VM host'}",
        expected=f"the guest is on {machine.host_name}",
        remedy="Refresh both hosts; if the discrepancy remains, move the guest back.",
        data_at_risk=True,
    )


def _changed(machine: MachineFacts, guest: GuestFacts) -> Iterator[Discrepancy]:
    actual = (guest.cores, guest.memory_mib, guest.pinned_core_ids)
    expected = (machine.cores, machine.memory_mib, machine.pinned_core_ids)
    if actual == expected and machine.state is not MachineState.MISSING:
        return
    missing = "the machine is missing, but " if machine.state is MachineState.MISSING else ""
    yield Discrepancy.of(
        machine,
        DiscrepancyKind.MACHINE_CHANGED,
        RepairPolicy.NONE,
        found=f"{missing}its guest has {_size(*actual)}",
        expected=_size(*expected),
        remedy=f"Refresh {machine.host_name}: the machine takes the size of its guest.",
        ours=True,
    )


def _claims(machine: MachineFacts) -> Iterator[Discrepancy]:
    if machine.guest is not None and not machine.guest.is_complete:
        return
    memory_mib = machine.memory_mib if machine.claims_huge_pages else machine.claimed_memory_mib
    expected = (
        max(machine.cores, machine.pending_cores or 0),
        max(machine.memory_mib, machine.pending_memory_mib or 0),
    )
    if (machine.claimed_cores, memory_mib) == expected:
        return
    none = not machine.claimed_cores and not machine.claimed_memory_mib and not machine.claims_huge_pages
    yield Discrepancy.of(
        machine,
        DiscrepancyKind.MACHINE_WITHOUT_CLAIMS if none else DiscrepancyKind.WRONG_CLAIMS,
        RepairPolicy.AUTOMATIC,
        found="no claims of cores or memory" if none else f"claims of {_size(machine.claimed_cores, memory_mib)}",
        expected=f"claims of {_size(*expected)}",
        remedy="This recomputes the claims from the machine, and the server's totals from all claims.",
    )


def _size(cores: int, memory_mib: int, pinned: frozenset[int] = frozenset()) -> str:
    pins = f", pinned to {', '.join(map(str, sorted(pinned)))}" if pinned else ""
    return f"{number_of(cores, 'core')} and {memory_mib} MiB{pins}"
