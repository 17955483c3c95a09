"""A program for the first sector of a disk, instead of an operating system."""

from __future__ import annotations

GREETING = b"Innkeeper!\n"


def boot_sector(greeting: bytes) -> bytes:
    """A program for a PC's first sector that writes `greeting` to the first serial port and halts."""
    return _sector(b"".join(bytes([0xBA, 0xF8, 0x03, 0xB0, letter, 0xEE]) for letter in greeting) + b"\xf4\xeb\xfd")


def echoing_sector() -> bytes:
    """A program that sends back what arrives at the first serial port: it waits for the line status to say so."""
    wait = b"\xba\xfd\x03\xec\xa8\x01\x74\xf8"  # mov dx,3fd; in al,dx; test al,1; jz to the first
    echo = b"\xba\xf8\x03\xec\xee"  # mov dx,3f8; in al,dx; out dx,al
    return _sector(wait + echo + bytes([0xEB, 256 - len(wait) - len(echo) - 2]))


def returning_sector() -> bytes:
    """A program that gives each PCI device back for which the host asks, as a system does, on QEMU's default PC.

    Bits of port ae04 ask for devices, and those written to port ae08 give them back, on the bus that port ae10 selects.
    """
    select = b"\xba\x10\xae\x66\x31\xc0\x66\xef"  # mov dx,ae10; xor eax,eax; out dx,eax
    wait = b"\xba\x04\xae\x66\xed\x66\x85\xc0\x74\xf6"  # mov dx,ae04; in eax,dx; test eax,eax; jz to the first
    give = b"\xba\x08\xae\x66\xef"  # mov dx,ae08; out dx,eax
    return _sector(select + wait + give + bytes([0xEB, 256 - len(wait) - len(give) - 2]))


def _sector(code: bytes) -> bytes:
    return code.ljust(510, b"\0") + b"\x55\xaa"


def bootable_iso(greeting: bytes) -> bytes:
    """An ISO 9660 image without files that a PC boots, as El Torito says: its program is that of `boot_sector`."""
    volume = b"\x01CD001\x01".ljust(2048, b"\0")
    record = (b"\x00CD001\x01" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + (19).to_bytes(4, "little")).ljust(
        2048, b"\0"
    )
    end = b"\xffCD001\x01".ljust(2048, b"\0")
    validation = bytearray(b"\x01" + bytes(29) + b"\x55\xaa")
    words = [int.from_bytes(validation[at : at + 2], "little") for at in range(0, 32, 2)]
    validation[28:30] = (-sum(words) % 65536).to_bytes(2, "little")
    entry = b"\x88\x00\x00\x00\x00\x00" + (4).to_bytes(2, "little") + (20).to_bytes(4, "little") + bytes(20)
    catalogue = (bytes(validation) + entry).ljust(2048, b"\0")
    return bytes(16 * 2048) + volume + record + end + catalogue + boot_sector(greeting).ljust(2048, b"\0")
