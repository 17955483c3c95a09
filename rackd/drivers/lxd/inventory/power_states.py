"""The states of instances in LXD's status codes."""

from __future__ import annotations

from common.values import PowerState

STARTED, STOPPED, RUNNING, STARTING, STOPPING, FROZEN, ERROR, READY = 101, 102, 103, 106, 107, 110, 112, 113
_POWER = {
    STARTED: PowerState.ON,
    RUNNING: PowerState.ON,
    STARTING: PowerState.ON,
    READY: PowerState.ON,
    STOPPED: PowerState.OFF,
    STOPPING: PowerState.ON,  # still running
    FROZEN: PowerState.PAUSED,
}


def power_of(status_code: int) -> PowerState:
    return _POWER.get(status_code, PowerState.UNKNOWN)
