"""The whole state machine: actions of users and administrators, failures and repairs, in any order."""

from __future__ import annotations

from tests.faults.schedules.fleet_actions import FleetActions
from tests.faults.schedules.repair_actions import RepairActions


class Schedules(FleetActions, RepairActions):
    """One example runs from a new deployment until everything has come to rest."""
