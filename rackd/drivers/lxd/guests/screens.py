"""The screens of guests: SPICE, of which a viewer opens several channels at once.

LXD connects each console of the type `vga` to the guest anew. Incus allows one such console of a guest, and each
channel is a WebSocket of it; so the channels that a driver has open share one.
"""

from __future__ import annotations

import threading

from attrs import define, field, frozen
from websockets.sync.client import ClientConnection

from common.errors import Busy, DriverFailed, HostUnreachable
from common.values import GuestRef
from rackd.drivers.driver_errors import screen_is_off
from rackd.drivers.lxd.connection.console_stream import ConsoleOperation, LxdConsole
from rackd.drivers.lxd.guests.console import OFF, open_operation
from rackd.drivers.lxd.guests.instances import Instances

_TAKEN = "already connected"
_SCREEN = {"type": "vga"}


@define
class _SharedControl:
    """Holds one console open until the last of its channels is closed."""

    operation: ConsoleOperation
    _control: ClientConnection
    _channels: int = 1
    _lock: threading.Lock = field(factory=threading.Lock)

    @property
    def is_open(self) -> bool:
        return self._channels > 0

    def join(self) -> bool:
        """Counts one more channel. Returns False if the last one has been closed."""
        with self._lock:
            self._channels += 1 if self._channels else 0
            return self._channels > 0

    def close(self) -> None:
        with self._lock:
            self._channels -= 1
            is_last = not self._channels
        if is_last:
            self._control.close()

    def recv(self, timeout: float | None = None) -> str | bytes:
        return self._control.recv(timeout)


@frozen
class Screens:
    """The consoles of the type `vga` that one driver has open, by the name of the instance."""

    _open: dict[str, _SharedControl] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def open(self, instances: Instances, guest: GuestRef) -> LxdConsole:
        """Returns one channel. Raises Busy if another rack has the screen open and the server allows one, and what the
        driver contract says.
        """
        found = instances.of_machine(guest)
        if found.get("status") in OFF:
            raise screen_is_off(guest)
        name = str(found["name"])
        try:
            if not instances.capabilities.dialect.shares_screens:
                return LxdConsole.connect(instances.client, open_operation(instances, name, _SCREEN), ends_itself=False)
            with self._lock:
                return self._shared(instances, name) or self._first(instances, name)
        except DriverFailed as error:
            if "not running" in str(error).lower():
                raise screen_is_off(guest) from error
            if _TAKEN in str(error).lower():
                raise Busy(
                    f"{instances.client.place} shows the screen of {guest.name} to somebody else, through another rack "
                    "or with its own client. Close it there, or try again."
                ) from error
            raise

    def _shared(self, instances: Instances, name: str) -> LxdConsole | None:
        """Returns a further channel of a console that is open; None without one, or if it has ended."""
        control = self._open.get(name)
        if control is None or not control.join():
            return None
        try:
            data = control.operation.connect_data(instances.client)
        except HostUnreachable:  # the console has ended, or the server: the next request says which
            control.close()
            return None
        except BaseException:
            control.close()
            raise
        return LxdConsole(data, control, ends_itself=False)

    def _first(self, instances: Instances, name: str) -> LxdConsole:
        operation = open_operation(instances, name, _SCREEN)
        data = operation.connect_data(instances.client)
        try:
            control = _SharedControl(operation, operation.connect_control(instances.client))
        except BaseException:
            data.close()
            raise
        for ended in [one for one, other in self._open.items() if not other.is_open]:
            del self._open[ended]
        self._open[name] = control
        return LxdConsole(data, control, ends_itself=False)
