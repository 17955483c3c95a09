"""Text for a terminal: without control characters, and its width."""

from __future__ import annotations

import unicodedata


def printable(text: str, *, allowed: str = "\n\t") -> str:
    """Replaces control characters except `allowed`: text from the region must not control the terminal."""
    return "".join(sign if sign.isprintable() or sign in allowed else "?" for sign in text)


def width_of(text: str) -> int:
    """The number of terminal columns: 2 for a wide character, 0 for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def filled(text: str, width: int, *, right: bool = False) -> str:
    """The text with spaces up to `width` terminal columns."""
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces
