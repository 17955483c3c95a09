"""The screen of a domain: its VNC server, screenshots and keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt

from common.errors import DriverFailed, InnkeeperError
from rackd.drivers.libvirt.connection.screen_socket import ScreenSocket

T = TypeVar("T")

_MAX_PICTURE_BYTES = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024
_HOLD_MS = 40


class Calls(Protocol):
    """The part of a connection that the screen uses."""

    connection: Any

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...


class DomainScreen:
    """The screen of a running domain. Any method may raise what its connection does."""

    def __init__(self, client: Calls, domain: Any) -> None:
        self._client = client
        self._domain = domain
        self._name = domain.name()

    def open_vnc(self, number: int) -> ScreenSocket:
        """Connects to a VNC display of the domain, without its password. Works on the host itself only."""
        flags = libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH
        return ScreenSocket(int(self._call("open the screen of", self._domain.openGraphicsFD, number, flags)))

    def screenshot(self) -> bytes:
        """Returns a picture of the first screen, as PNG or PPM."""
        stream = self._call("look at", self._client.connection.newStream)
        found = bytearray()
        try:
            self._call("look at", self._domain.screenshot, stream, 0, 0)
            while len(found) <= _MAX_PICTURE_BYTES and (part := self._call("look at", stream.recv, _READ_BYTES)):
                found += part
            if len(found) <= _MAX_PICTURE_BYTES:
                self._call("look at", stream.finish)
            else:
                self._call("look at", stream.abort)
        except BaseException:
            with suppress(InnkeeperError):
                self._call("look at", stream.abort)
            raise
        if len(found) > _MAX_PICTURE_BYTES:
            raise DriverFailed(f"The screen of {self._name} has more than {_MAX_PICTURE_BYTES} bytes.")
        return bytes(found)

    def send_keys(self, codes: Sequence[int]) -> None:
        """Presses these keys at once, at most 16, and releases them. `codes` are scan codes as VNC has them."""
        keys, code_set = list(codes), libvirt.VIR_KEYCODE_SET_QNUM
        self._call("press keys of", self._domain.sendKey, code_set, _HOLD_MS, keys, len(keys), 0)

    def is_active(self) -> bool:
        return bool(self._call("read the state of", self._domain.isActive))

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the guest {self._name}", function, *arguments)
