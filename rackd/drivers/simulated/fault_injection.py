"""Delays a simulated host's calls and makes some of them fail."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path

from common.addresses.simulated import SimulatedAddress
from common.errors import DriverFailed, HostUnreachable, WrongState, rebuild

Call = str  # what a method of the driver does to the host, such as "set autostart"

_HOLD_POLL_S = 0.01


class FaultSequences:
    """The random sequence of each host. A seed repeats the same faults; reopening a host continues its sequence."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int], random.Random] = {}

    def of(self, address: SimulatedAddress) -> random.Random:
        # Deterministic on purpose; nothing secret depends on it.
        return self._of.setdefault((address.name, address.fault_seed), random.Random(address.fault_seed))  # noqa: S311


class FaultInjector:
    """Runs before every call to the host.

    While the file `hold` exists, the host delays the calls that it names, one per line, or all calls if it is empty.
    Tests use it to stop a call halfway; a call that waits so leaves a file `.held` beside it. While the file `down`
    exists, no call reaches the host; the error says what is in it. While a file `.refuse` exists beside `hold`,
    the host refuses the calls that it names, as a guest does that keeps a disk. Each line of the file `.fails` beside
    `down` has a call, the code of the error with which it fails, and its text, with tabs between them.
    """

    def __init__(self, address: SimulatedAddress, sequence: random.Random, *, hold: Path, down: Path) -> None:
        self._address = address
        self._random = sequence
        self._hold = hold
        self._down = down
        self._closed = threading.Event()

    @property
    def host(self) -> str:
        """The name of the simulated host."""
        return self._address.name

    def call(self, what: Call) -> None:
        """Waits as long as the call takes.

        Raises HostUnreachable or DriverFailed if this call fails, WrongState if the host refuses it, HostUnreachable
        after `close`.
        """
        while self._is_held(what):
            self._hold.with_suffix(".held").touch()
            self._wait(_HOLD_POLL_S, what)
        self._wait(self._address.delay_ms / 1000, what)
        if self._down.exists():
            reason = self._down.read_text() or f"Cannot connect to {self._address.identity}: connection refused"
            raise HostUnreachable(reason)
        if what in _named(self._hold.with_suffix(".refuse"), default=()):
            raise WrongState(f"{self._address.identity} refuses the call '{what}'")
        self._fail_if_told(what)
        if self._random.random() >= self._address.fault_rate:
            return
        self._wait(self._address.hang_ms / 1000, what)
        if self._random.random() < 0.5:
            raise HostUnreachable(f"{self._address.identity}: simulated connection loss during '{what}'")
        raise DriverFailed(f"{self._address.identity}: simulated failure of '{what}'")

    def _fail_if_told(self, what: Call) -> None:
        file = self._down.with_suffix(".fails")
        if file.exists():
            for line in file.read_text().splitlines():
                call, code, text = line.split("\t")
                if call == what:
                    raise rebuild(code, text, {})

    def close(self) -> None:
        self._closed.set()

    def _is_held(self, what: str) -> bool:
        named = _named(self._hold, default=("nothing",))
        return not named or what in named

    def _wait(self, time_s: float, what: str) -> None:
        if self._closed.wait(time_s) if time_s else self._closed.is_set():
            raise HostUnreachable(f"{self._address.identity}: the connection was closed during '{what}'")


def _named(path: Path, *, default: tuple[str, ...]) -> Sequence[str]:
    """Returns the lines of the file; `default` without one."""
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return default
