"""The open screens of a region: the connections of one viewer count once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from attrs import define

from common.errors import Busy
from regiond.machines.running.console.connection import Use
from regiond.machines.running.console.limits import OpenConsoles

MAX_CONNECTIONS = 12  # a viewer of LXD's SPICE has eight: control, picture, pointer, keys, and four for devices
ScreenKey = tuple[int, str, str]  # account, machine, and the text that the viewer chose


@define(eq=False)
class OpenScreen:
    """A screen that a user has open, with one connection or several."""

    use: Use
    place: ExitStack
    connections: int = 0
    _is_recorded: bool = False

    def begins(self) -> bool:
        """Returns True once: for the connection whose opening is recorded."""
        is_first, self._is_recorded = not self._is_recorded, True
        return is_first

    def ends(self) -> bool:
        """Returns whether the end of a connection now is that of the screen."""
        return self._is_recorded and self.connections == 1


class OpenScreens:
    """Counts each screen once among the open consoles, whatever its connections."""

    def __init__(self, consoles: OpenConsoles, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._consoles = consoles
        self._now_s = now_s
        self._open: dict[ScreenKey, OpenScreen] = {}

    @contextmanager
    def connection(self, key: ScreenKey) -> Iterator[OpenScreen]:
        """Counts one more connection until the block ends. Raises Busy beyond a limit."""
        screen = self._open.get(key)
        if screen is None:
            place, now_s = ExitStack(), self._now_s()
            place.enter_context(self._consoles.place(key[0]))
            screen = self._open[key] = OpenScreen(Use(now_s, now_s), place)
        elif screen.connections >= MAX_CONNECTIONS:
            raise Busy(f"This screen has {MAX_CONNECTIONS} connections, which is the limit. Open it again.")
        screen.connections += 1
        try:
            yield screen
        finally:
            screen.connections -= 1
            if not screen.connections:
                del self._open[key]
                screen.place.close()
