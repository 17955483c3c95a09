"""The activity of a user at a screen, told from what the viewer sends by itself.

VNC viewers ask for each picture, and SPICE viewers acknowledge what they received.
"""

from __future__ import annotations

from typing import Protocol

_HANDSHAKE_BYTES = 14  # of a VNC viewer: its version, the security type and whether it shares
_FIXED = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 255: 12}
_TEXT, _ENCODINGS, _FENCE, _SIZE = 6, 2, 248, 251
_OF_USER = frozenset({4, 5, 6, 255})  # keys, pointer, clipboard, keys with their places
_SPICE_KIND_AT, _SPICE_INPUTS = 20, 3  # the byte of the first message that has the kind of the channel


class Activity(Protocol):
    """Sees everything that a viewer sends on one connection."""

    def is_of_user(self, data: bytes) -> bool:
        """Returns whether some of this comes from the user."""


class Always:
    """A serial port: everything is typed."""

    def is_of_user(self, data: bytes) -> bool:
        return bool(data)


class VncActivity:
    """Everything counts once a viewer sends what is not known here: no user loses a screen because of it."""

    def __init__(self) -> None:
        self._left = _HANDSHAKE_BYTES  # of the message that has begun
        self._head = bytearray()
        self._is_lost = False

    def is_of_user(self, data: bytes) -> bool:
        found, at = self._is_lost, 0
        while at < len(data) and not self._is_lost:
            skipped = min(self._left, len(data) - at)
            self._left -= skipped
            at += skipped
            if self._left or at == len(data):
                continue
            self._head.append(data[at])
            at += 1
            length = self._length()
            if length is not None:
                found = found or self._head[0] in _OF_USER
                self._left = length - len(self._head)
                self._head.clear()
        return found or self._is_lost

    def _length(self) -> int | None:
        """Returns the length of the message that begins with what is known; None while that is too little."""
        head = self._head
        if head[0] in _FIXED:
            return _FIXED[head[0]]
        count_at = {_ENCODINGS: (2, 4), _TEXT: (4, 8), _FENCE: (8, 9), _SIZE: (6, 8)}.get(head[0])
        if count_at is None:
            self._is_lost = True
            return None
        if len(head) < count_at[1]:
            return None
        if head[0] == _SIZE:
            return 8 + 16 * head[6]
        count = int.from_bytes(head[slice(*count_at)], "big", signed=head[0] == _TEXT)
        return count_at[1] + abs(count) * (4 if head[0] == _ENCODINGS else 1)


class SpiceActivity:
    """The channel for keys and the pointer counts, every other one does not."""

    def __init__(self) -> None:
        self._first = bytearray()

    def is_of_user(self, data: bytes) -> bool:
        if len(self._first) <= _SPICE_KIND_AT:
            self._first += data[: _SPICE_KIND_AT + 1]
        return len(self._first) > _SPICE_KIND_AT and self._first[_SPICE_KIND_AT] == _SPICE_INPUTS
