"""Finds registrations whose record or whose machine is gone."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy, Subject


@frozen(kw_only=True)
class RegistrationFacts(Subject):
    """A registration. `missing_since`: since when its MAAS server no longer lists the record; None: it does.

    `machine_id` is None if the machine is gone. `maas_system_id` is None if the answer of the MAAS was never known.
    """

    WORD = "registration"

    machine_id: int | None
    hostname: str
    server: str
    maas_system_id: str | None
    missing_since: datetime | None
    since: datetime

    @property
    def name(self) -> str:
        return self.hostname


def detect(found: RegistrationFacts) -> Discrepancy | None:
    if found.machine_id is None:
        return _left(found)
    return None if found.missing_since is None else _missing(found)


def _missing(found: RegistrationFacts) -> Discrepancy:
    return Discrepancy.of(
        found,
        DiscrepancyKind.MAAS_RECORD_MISSING,
        RepairPolicy.APPROVAL,
        since=found.missing_since,
        found=f"the MAAS server {found.server} no longer has its machine {found.maas_system_id}",
        expected="registered there",
        remedy=(
            "This ends the registration; the VM goes on running, and boots again as before it was registered. To "
            "register it anew afterwards: "
            f"innkeeper machine register-in-maas {found.hostname} server={found.server}"
        ),
    )


def _left(found: RegistrationFacts) -> Discrepancy:
    record = f"its machine {found.maas_system_id}" if found.maas_system_id else "a machine with its MAC addresses"
    return Discrepancy.of(
        found,
        DiscrepancyKind.MAAS_RECORD_LEFT,
        RepairPolicy.APPROVAL,
        since=found.since,
        found=f"the MAAS server {found.server} may still have {record}, which Innkeeper no longer has",
        expected="deleted there",
        remedy=f"This opens an operation that deletes the machine in {found.server} if that has it.",
    )
