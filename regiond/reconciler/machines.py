"""What is wrong with a machine: its guest, its claims, its state. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from attrs import frozen

from regiond.machines.life import LAST, MachineState
from regiond.reconciler.model import By, Difference, Kind

_LISTED = (MachineState.READY, MachineState.ALLOCATED, MachineState.FAILED, MachineState.BROKEN)

_ENDS = {
    MachineState.COMPOSING: "the compose undone by an operation: the guest removed, its claims given back",
    MachineState.ADOPTING: "the adoption undone in the ledger: the guest stays as it is, and may be adopted again",
    MachineState.RELEASING: "the machine kept, as its owner's if it has one; release it again",
    MachineState.DELETING: "the machine kept, as its owner's if it has one; delete it again",
}


@frozen(kw_only=True)
class GuestOf:
    """The guest that is a machine, as the last look found it. 0 cores or memory: it could not be read."""

    name: str
    host_name: str | None
    on_its_host: bool  # on the server of the machine's host, in the project that the host is
    cores: int
    memory_mib: int
    pinned_core_ids: frozenset[int]

    @property
    def is_read(self) -> bool:
        return bool(self.cores and self.memory_mib)


@frozen(kw_only=True)
class MachineFacts:
    """A machine on which no operation acts. Amounts of claims are sums over its rows."""

    id: int
    system_id: str
    hostname: str
    state: MachineState
    cores: int
    memory_mib: int
    pinned_core_ids: frozenset[int] = frozenset()
    missing_since: datetime | None = None
    host_id: int
    host_name: str
    clustered: bool = False  # its guest may be on the way to another member
    guest: GuestOf | None = None
    claimed_cores: int = 0
    claimed_memory_mib: int = 0
    claims_huge_pages: bool = False


def judge(machine: MachineFacts) -> Iterator[Difference]:
    if machine.state in LAST:
        yield _unexplained(machine)
        return
    if machine.guest is None:
        if machine.state is MachineState.MISSING or (machine.state in _LISTED and not machine.clustered):
            yield _missing(machine)
    elif not machine.guest.on_its_host:
        yield _elsewhere(machine, machine.guest)
    elif machine.guest.is_read:
        yield from _changed(machine, machine.guest)
    yield from _claims(machine)


def _unexplained(machine: MachineFacts) -> Difference:
    """A guest that was being made may be somebody's by now, for all that the ledger knows: a person is asked."""
    asks = machine.state is MachineState.COMPOSING and machine.guest is not None
    return _difference(
        machine,
        Kind.STATE_UNEXPLAINED,
        found=f"the machine is {machine.state}, and no operation acts on it"
        + (f"; its guest {machine.guest.name} is there" if machine.guest is not None else ""),
        expected="an operation that ends with the machine ready, or gone",
        remedy=_ENDS[machine.state],
        mended_by=By.APPROVAL if asks else By.ITSELF,
        ours=not asks,
        data_at_risk=asks,
    )


def _missing(machine: MachineFacts) -> Difference:
    return _difference(
        machine,
        Kind.MACHINE_MISSING,
        found="the last look at its host did not list its guest",
        expected="its guest, or no machine",
        remedy="the machine removed from the ledger, its volumes left to be told; or bring the guest back and refresh "
        "the host",
        mended_by=By.APPROVAL,
        since=machine.missing_since,
        ours=False,
        data_at_risk=True,
    )


def _elsewhere(machine: MachineFacts, guest: GuestOf) -> Difference:
    return _difference(
        machine,
        Kind.GUEST_ELSEWHERE,
        found=f"its guest {guest.name} is on {guest.host_name or 'a server without a host'}",
        expected=f"it is on {machine.host_name}",
        remedy="refresh both hosts; if it stays so, move the guest back",
        ours=False,
        data_at_risk=True,
    )


def _changed(machine: MachineFacts, guest: GuestOf) -> Iterator[Difference]:
    is_ = (guest.cores, guest.memory_mib, guest.pinned_core_ids)
    should = (machine.cores, machine.memory_mib, machine.pinned_core_ids)
    if is_ == should and machine.state is not MachineState.MISSING:
        return
    was = "the machine is missing, while " if machine.state is MachineState.MISSING else ""
    yield _difference(
        machine,
        Kind.MACHINE_CHANGED,
        found=f"{was}its guest has {_size(*is_)}",
        expected=_size(*should),
        remedy="refresh the host: the machine becomes what its guest is",
        ours=True,
        data_at_risk=False,
    )


def _claims(machine: MachineFacts) -> Iterator[Difference]:
    if machine.guest is not None and not machine.guest.is_read:
        return
    memory_mib = machine.memory_mib if machine.claims_huge_pages else machine.claimed_memory_mib
    if (machine.claimed_cores, memory_mib) == (machine.cores, machine.memory_mib):
        return
    none = not machine.claimed_cores and not machine.claimed_memory_mib and not machine.claims_huge_pages
    yield _difference(
        machine,
        Kind.MACHINE_WITHOUT_CLAIMS if none else Kind.CLAIMS_DIFFER,
        found="no claim of cores or memory" if none else f"claims of {_size(machine.claimed_cores, memory_mib)}",
        expected=f"claims of {_size(machine.cores, machine.memory_mib)}",
        remedy="the claims written anew from what the machine has, and the totals from the claims",
        mended_by=By.ITSELF,
        ours=True,
        data_at_risk=False,
    )


def _size(cores: int, memory_mib: int, pinned: frozenset[int] = frozenset()) -> str:
    pins = f", pinned to {', '.join(map(str, sorted(pinned)))}" if pinned else ""
    return f"{cores} cores and {memory_mib} MiB{pins}"


def _difference(machine: MachineFacts, kind: Kind, **told: Any) -> Difference:
    return Difference(
        kind=kind,
        key=f"machine {machine.id}",
        name=machine.hostname,
        host_id=machine.host_id,
        host_name=machine.host_name,
        system_id=machine.system_id,
        **told,
    )
