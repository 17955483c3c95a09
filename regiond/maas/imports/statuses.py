"""The state of a machine here for each status of MAAS. Pure."""

from __future__ import annotations

from attrs import frozen

from regiond.machines.values.states import MachineState

NAMES = {
    0: "New", 1: "Commissioning", 2: "Failed commissioning", 3: "Missing", 4: "Ready", 5: "Reserved", 6: "Deployed",
    7: "Retired", 8: "Broken", 9: "Deploying", 10: "Allocated", 11: "Failed deployment", 12: "Releasing",
    13: "Releasing failed", 14: "Disk erasing", 15: "Failed disk erasing", 16: "Rescue mode",
    17: "Entering rescue mode", 18: "Failed to enter rescue mode", 19: "Exiting rescue mode",
    20: "Failed to exit rescue mode", 21: "Testing", 22: "Failed testing",
}  # fmt: skip
_IN_MOTION = (1, 9, 12, 14, 16, 17, 18, 19, 20, 21)
_RESCUE = (16, 17, 18, 19, 20)
_READY = (0, 2, 4, 7, 22)
_ALLOCATED = (5, 10, 11)
_BROKEN = (8, 13, 15)
_AS_IT_IS = (3, 4, 5, 6, 8, 10)


@frozen(kw_only=True)
class Becomes:
    """The state that the machine gets; None: it is left out, for `reason`. `note` says what differs from MAAS."""

    state: MachineState | None
    reason: str = ""
    note: str = ""


def becomes(status: int, *, owned: bool) -> Becomes:
    """`owned`: the machine will have an owner here. One that needs an owner and has none is for administrators only."""
    name = NAMES.get(status, f"status {status}")
    if in_motion(status):
        ends = "leave that first, and import again" if status in _RESCUE else "import again when that has ended"
        return Becomes(state=None, reason=f"MAAS is at work on it ({name}): {ends}.")
    note = "" if status in _AS_IT_IS else f"In MAAS it was: {name}."
    if status == 6 or (status == 3 and owned):
        return Becomes(state=MachineState.DEPLOYED, note=note)
    if status in _ALLOCATED:
        return Becomes(state=MachineState.ALLOCATED if owned else MachineState.READY, note=note)
    if status in _BROKEN:
        return Becomes(state=MachineState.BROKEN, note=note)
    if status in _READY or status == 3:
        return Becomes(state=MachineState.READY, note=note)
    return Becomes(state=None, reason=f"MAAS's status {status} is not known here.")


def in_motion(status: int) -> str:
    """Returns the name of a status in which MAAS is at work on a machine; empty for any other."""
    return NAMES[status] if status in _IN_MOTION else ""
