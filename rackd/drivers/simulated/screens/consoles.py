"""The consoles of a simulated host's guests: serial log, serial port and screen."""

from __future__ import annotations

from pathlib import Path

from common.addresses.simulated import SimulatedAddress
from common.values import Guest, GuestRef, PowerState
from rackd.drivers.driver_errors import guest_is_off, required_guest, screen_is_off
from rackd.drivers.rfb.screen import PictureScreen
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.screens.console import EchoShell, SimulatedConsole
from rackd.drivers.simulated.screens.screen import SimulatedDisplay
from rackd.drivers.simulated.screens.serial_log import serial_output
from rackd.drivers.simulated.store import Store


class SimulatedConsoles:
    """Any number may be open at once, each with the keys of its own user."""

    def __init__(self, address: SimulatedAddress, path: Path, store: Store, faults: FaultInjector) -> None:
        """`path` is the file of `store`."""
        self._address, self._path, self._store, self._faults = address, path, store, faults

    def log(self, guest: GuestRef, *, max_bytes: int) -> bytes:
        self._faults.call("read serial log")
        with self._store.reading() as db:
            found = required_guest(guests.by_marker(db, guest.marker), guest)
            return serial_output(db, self._address, found)[-max_bytes:]

    def open(self, guest: GuestRef) -> SimulatedConsole:
        self._faults.call("open console")
        found = self._found(guest)
        if found.power is not PowerState.ON:
            raise guest_is_off(guest)
        return SimulatedConsole(EchoShell(found.name), lambda: self._runs(guest))

    def open_screen(self, guest: GuestRef) -> PictureScreen:
        self._faults.call("open screen")
        found = self._found(guest)
        display = SimulatedDisplay(lambda: self._runs(guest))
        first = display.picture() if found.power is PowerState.ON else None
        if first is None:
            raise screen_is_off(guest)
        return PictureScreen(found.name, display, first)

    def _found(self, guest: GuestRef) -> Guest:
        with self._store.reading() as db:
            return required_guest(guests.by_marker(db, guest.marker), guest)

    def _runs(self, guest: GuestRef) -> bool:
        """Returns whether the guest runs. Works in any thread: it opens a connection of its own."""
        store = Store(self._path)
        try:
            with store.reading() as db:
                found = guests.by_marker(db, guest.marker)
        finally:
            store.close()
        return found is not None and found.power is PowerState.ON
