"""A program for the first sector of a disk, instead of an operating system."""

from __future__ import annotations

GREETING = b"Innkeeper!\n"


def boot_sector(greeting: bytes) -> bytes:
    """A program for a PC's first sector that writes `greeting` to the first serial port and halts."""
    code = b"".join(bytes([0xBA, 0xF8, 0x03, 0xB0, letter, 0xEE]) for letter in greeting) + b"\xf4\xeb\xfd"
    return code.ljust(510, b"\0") + b"\x55\xaa"
