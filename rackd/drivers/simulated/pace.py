"""How long a simulated hypervisor takes for each call, and which calls it fails."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Literal

from common.errors import DriverFailed, HostUnreachable
from common.simulated_address import SimulatedAddress

Call = Literal[
    "connect", "version", "facts", "storage pools", "guests", "watch", "look up guest", "make volume", "define guest",
    "find guest", "power", "mark guest", "unmark guest", "remove guest", "remove volumes",
]  # fmt: skip

_HELD_LOOK_S = 0.01


class Chances:
    """The luck of each host: a seed makes the same sequence of faults, which goes on when the host is opened again."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int], random.Random] = {}

    def of(self, address: SimulatedAddress) -> random.Random:
        # Repeatable on purpose; nothing secret depends on it.
        return self._of.setdefault((address.name, address.fault_seed), random.Random(address.fault_seed))  # noqa: S311


class Pace:
    """Stands before every call to the host.

    While there is a file `hold`, the host answers none of the calls that the file names, one a line, or none at all
    when it is empty: whoever wants to see what becomes of a call in the middle can take all the time they need.
    """

    def __init__(self, address: SimulatedAddress, chance: random.Random, *, hold: Path) -> None:
        self._address = address
        self._chance = chance
        self._hold = hold
        self._closed = threading.Event()

    def call(self, what: Call) -> None:
        """Take the host's time.

        Raises HostUnreachable or DriverFailed when this call is one that fails, HostUnreachable after `close`.
        """
        while self._is_held(what):
            self._wait(_HELD_LOOK_S, what)
        self._wait(self._address.delay_ms / 1000, what)
        if self._chance.random() >= self._address.fault_rate:
            return
        self._wait(self._address.hang_ms / 1000, what)
        if self._chance.random() < 0.5:
            raise HostUnreachable(f"{self._address.identity}: simulated loss of the connection during {what}")
        raise DriverFailed(f"{self._address.identity}: simulated failure of {what}")

    def close(self) -> None:
        self._closed.set()

    def _is_held(self, what: str) -> bool:
        try:
            named = self._hold.read_text().splitlines()
        except FileNotFoundError:
            return False
        return not named or what in named

    def _wait(self, time_s: float, what: str) -> None:
        if self._closed.wait(time_s) if time_s else self._closed.is_set():
            raise HostUnreachable(f"{self._address.identity}: the connection was closed during {what}")
