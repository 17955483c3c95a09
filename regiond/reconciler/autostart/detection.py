"""Finds machines whose guest starts with its host, or does not, against their setting."""

from __future__ import annotations

from attrs import frozen

from common.values import Autostart, PowerState
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, MachineSubject, RepairPolicy

_REPORTED = {
    Autostart.ALWAYS: "starts with its host",
    Autostart.NEVER: "does not start with its host",
    Autostart.LAST_STATE: "starts with its host if it ran before",
}


@frozen(kw_only=True)
class AutostartFacts(MachineSubject):
    """A machine's setting in effect, and the setting that its hypervisor reports."""

    power: PowerState
    autostart: Autostart
    reported: Autostart


def detect(machine: AutostartFacts) -> Discrepancy | None:
    if machine.autostart.is_in_effect(machine.reported, machine.power) is not False:
        return None
    return Discrepancy.of(
        machine,
        DiscrepancyKind.WRONG_AUTOSTART,
        RepairPolicy.AUTOMATIC,
        found=f"its guest is {machine.power} and {_REPORTED[machine.reported]}",
        expected=f"autostart {machine.autostart}",
        remedy=f"This sets autostart of the guest on {machine.host_name}, and neither starts nor stops it.",
    )
