"""Text for a terminal: without control characters, and its width."""

from __future__ import annotations


def printable(text: str, *, allowed: str = "\n\t") -> str:
    """Replaces control characters except `allowed`: text from the region must not control the terminal."""
    return "".join(sign if sign.isprintable() or sign in allowed else "?" for sign in text)


def width_of(text: str) -> int:
    """Returns the number of terminal columns: 2 for a wide character, 0 for a combining one."""
    if text.isascii():
        return len(text)
    import wcwidth  # noqa: PLC0415  # takes 20 ms, and most tables are ASCII

    return wcwidth.width(text)


def filled(text: str, width: int, *, right: bool = False) -> str:
    """The text with spaces up to `width` terminal columns."""
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces
