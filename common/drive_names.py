"""How Linux names drives of one kind, in their order."""

from __future__ import annotations


def drive_name(prefix: str, index: int) -> str:
    """With the prefix `sd`: `sda` for 0, `sdz` for 25, `sdaa` for 26."""
    letters, number = "", index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return prefix + letters
