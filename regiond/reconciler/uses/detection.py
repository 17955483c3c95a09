"""Says of a machine that may have been used since the database was restored what its host shows. Pure."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from regiond.reconciler.model import Discrepancy, DiscrepancyKind, MachineSubject, RepairPolicy


@frozen(kw_only=True)
class UnprovenMachine(MachineSubject):
    """A machine whose guest its host lists. `on_host`: its generation there; None: unknown. -1: not in the backup."""

    owner: str | None
    generation: int
    on_host: int | None
    unproven_since: datetime


def detect(machine: UnprovenMachine) -> Discrepancy:
    proven = machine.on_host is not None and machine.on_host <= machine.generation
    return Discrepancy.of(
        machine,
        DiscrepancyKind.USE_UNPROVEN,
        RepairPolicy.AUTOMATIC if proven else RepairPolicy.APPROVAL,
        found=_found(machine, proven=proven),
        expected="nobody has used it since the moment to which the database was restored",
        remedy="This ends the doubt: the ledger is right." if proven else _remedy(machine),
        since=machine.unproven_since,
        data_at_risk=not proven,
    )


def _found(machine: UnprovenMachine, *, proven: bool) -> str:
    if machine.on_host is None:
        return "its host does not say whether it was used since"
    if machine.generation < 0:
        return "the database was restored from a release that did not record uses on hosts"
    if proven:
        return "its host shows no use since"
    return (
        f"its host shows that it was used since: generation {machine.on_host} there, {machine.generation} in the ledger"
    )


def _remedy(machine: UnprovenMachine) -> str:
    if machine.owner is None:
        return f"This leaves {machine.hostname} to administrators alone, in use, with all that is on its disks."
    return (
        f"This confirms that {machine.hostname} belongs to {machine.owner}, who can open it again. If it belongs to "
        f"somebody else now: innkeeper machine forget {machine.system_id}, then innkeeper vm-host adopt "
        f"{machine.host_name} guests={machine.hostname} owner=NAME"
    )
