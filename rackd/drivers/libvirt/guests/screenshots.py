"""The screen of a guest as libvirt's screenshots, its keyboard as libvirt's keys.

libvirt passes a VNC connection on only to programs on the host itself. Over SSH and TLS, a screenshot and keys pass
through a connection like the others, so the host needs no open port for it.
"""

from __future__ import annotations

from common.errors import DriverFailed, NotFound
from rackd.drivers.libvirt.connection.domain_screen import DomainScreen
from rackd.drivers.rfb.picture import Picture, picture_of
from rackd.drivers.rfb.protocol import Key

# Scan codes of Control, Shift, Alt and the key with the logo, left and right.
_MODIFIERS = frozenset({0x1D, 0x9D, 0x2A, 0x36, 0x38, 0xB8, 0xDB, 0xDC})
_MAX_CODE = 0xFF


class ScreenshotDisplay:
    """Implements `Display`."""

    def __init__(self, screen: DomainScreen) -> None:
        self._screen = screen
        self._held: list[int] = []
        self._held_alone = False

    def picture(self) -> Picture | None:
        try:
            return picture_of(self._screen.screenshot())
        except NotFound:
            return None
        except DriverFailed:
            if self._screen.is_active():
                raise
            return None

    def press(self, key: Key) -> None:
        """libvirt presses and releases in one call: modifiers are kept until another key is pressed with them."""
        if key.code is None or not 0 < key.code <= _MAX_CODE:
            return
        if key.code in _MODIFIERS:
            self._hold(key.code, down=key.down)
        elif key.down:
            self._held_alone = False
            self._screen.send_keys((*self._held, key.code))

    def _hold(self, code: int, *, down: bool) -> None:
        if down and code not in self._held:
            self._held, self._held_alone = [*self._held, code], True
        elif not down and code in self._held:
            if self._held_alone:  # as for a menu
                self._screen.send_keys(tuple(self._held))
            self._held_alone = False
            self._held = [each for each in self._held if each != code]
