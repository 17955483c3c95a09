"""The screens of guests: SPICE, of which a viewer opens several channels at once.

LXD connects each console of the type `vga` to the guest anew. Incus allows one such console of a guest, and each
channel is a WebSocket of it; so the channels that a driver has open share one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field, frozen
from websockets.sync.client import ClientConnection

from common.errors import Busy, DriverFailed, HostUnreachable
from common.values import GuestRef
from rackd.drivers.driver_errors import screen_is_off
from rackd.drivers.lxd.connection.console_stream import ConsoleOperation, LxdConsole
from rackd.drivers.lxd.guests.consoles.console import OFF, TAKEN, how_to_end, open_operation
from rackd.drivers.lxd.guests.instances import Instances

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


@define
class _Screen:
    """The screen of one instance. Its lock is held while a channel is opened, which takes requests."""

    lock: threading.Lock = field(factory=threading.Lock)
    control: _SharedControl | None = None
    users: int = 0  # that open a channel

    @property
    def is_used(self) -> bool:
        return self.users > 0 or (self.control is not None and self.control.is_open)


@frozen
class Screens:
    """The consoles of the type `vga` that one driver has open, by the name of the instance."""

    _screens: dict[str, _Screen] = field(factory=dict, init=False)
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
            with self._screen(name) as screen:
                return _shared(instances, screen) or _first(instances, name, screen)
        except DriverFailed as error:
            if "not running" in str(error).lower():
                raise screen_is_off(guest) from error
            if TAKEN in str(error).lower():
                raise Busy(
                    f"{instances.client.place} shows the screen of {guest.name} to somebody else, through another rack "
                    "or with its own client, or its serial console is open: the server lets only one of them be open. "
                    f"Close it there, or try again.{how_to_end(instances, name)}"
                ) from error
            raise

    @contextmanager
    def _screen(self, name: str) -> Iterator[_Screen]:
        """Forgets the screens that nobody uses any more."""
        with self._lock:
            for unused in [one for one, other in self._screens.items() if one != name and not other.is_used]:
                del self._screens[unused]
            screen = self._screens.setdefault(name, _Screen())
            screen.users += 1
        try:
            with screen.lock:
                yield screen
        finally:
            with self._lock:
                screen.users -= 1


def _shared(instances: Instances, screen: _Screen) -> LxdConsole | None:
    """Returns a further channel of a console that is open; None without one, or if it has ended."""
    control = screen.control
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


def _first(instances: Instances, name: str, screen: _Screen) -> LxdConsole:
    operation = open_operation(instances, name, _SCREEN)
    data, control = operation.connect(instances.client)
    screen.control = _SharedControl(operation, control)
    return LxdConsole(data, screen.control, ends_itself=False)
