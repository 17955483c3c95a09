"""Rules that all drivers share for disks that move to another storage pool."""

from __future__ import annotations

from common.errors import Busy, WrongState
from common.values import PowerState


def check_off(guest: str, power: PowerState) -> None:
    """Raises WrongState for a guest that could write to its disk while that is copied."""
    if power is not PowerState.OFF:
        raise WrongState(
            f"{guest} is not off: its disk cannot be copied while its system may write to it. Shut it down first.",
            name=guest,
        )


def changed_since(guest: str, volume: str) -> Busy:
    """Returns the error for a copy that may lack what the guest has written since."""
    return Busy(f"{guest} was started after its disk {volume} was copied, or the disk was written. It is copied again.")
