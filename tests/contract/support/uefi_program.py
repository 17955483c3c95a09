"""A program for UEFI firmware of amd64 that says something on its console and then waits."""

from __future__ import annotations

import struct

_HEADERS_BYTES, _FILE_ALIGNMENT, _PAGE = 0x200, 0x200, 0x1000
# The second argument, in rdx, is the system table; at 64 in it is the console, whose second function writes a string.
_CODE = bytes.fromhex(
    "488b4a40"  # mov rcx, [rdx+64]
    "488d1509000000"  # lea rdx, [rip+9]: the message, which follows the code
    "4883ec28"  # sub rsp, 40
    "ff5108"  # call [rcx+8]
    "ebfe"  # jmp to itself
)


def uefi_program(message: bytes) -> bytes:
    """Returns a PE file of at most 512 bytes of code and message, with one section."""
    text = message.decode().replace("\n", "\r\n").encode("utf-16-le") + b"\0\0"
    section = (_CODE + text).ljust(_FILE_ALIGNMENT, b"\0")
    assert len(section) == _FILE_ALIGNMENT, "the message is too long"
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 0, 0, _FILE_ALIGNMENT, 0, 0, _PAGE, _PAGE, 0, _PAGE, _FILE_ALIGNMENT, 0, 0, 0, 0, 0, 0, 0,
        2 * _PAGE, _HEADERS_BYTES, 0, 10, 0, 0, 0, 0, 0, 0, 16,
    )  # fmt: skip
    table = struct.pack(
        "<8sIIIIIIHHI", b".text", len(section), _PAGE, len(section), _HEADERS_BYTES, 0, 0, 0, 0, 0x60000020
    )
    return (dos + coff + optional + bytes(16 * 8) + table).ljust(_HEADERS_BYTES, b"\0") + section
