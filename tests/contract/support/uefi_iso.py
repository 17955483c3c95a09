"""An ISO image that UEFI firmware of amd64 boots, instead of one with an installer."""

from __future__ import annotations

import struct

from tests.contract.support.uefi_program import uefi_program

_SECTOR, _BLOCK = 512, 2048
_FAT_SECTORS, _ROOT_ENTRIES, _SECTORS = 9, 224, 2880  # those of a floppy disk
_DIRECTORY, _FILE = 0x10, 0x20


def uefi_iso(message: bytes) -> bytes:
    """Returns an ISO 9660 image without files. As El Torito says, it has a file system of the type FAT, from which the
    firmware starts a program that says `message`.
    """
    disk = _fat_with(uefi_program(message))
    blocks = 20 + len(disk) // _BLOCK
    sizes = struct.pack("<I", blocks) + struct.pack(">I", blocks)
    volume = (b"\x01CD001\x01".ljust(80, b"\0") + sizes).ljust(_BLOCK, b"\0")
    record = (b"\x00CD001\x01" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", 19)).ljust(
        _BLOCK, b"\0"
    )
    end = b"\xffCD001\x01".ljust(_BLOCK, b"\0")
    validation = bytearray(b"\x01\xef" + bytes(28) + b"\x55\xaa")  # the platform is EFI
    validation[28:30] = struct.pack("<H", -sum(struct.unpack("<16H", validation)) % 65536)
    entry = struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, len(disk) // _SECTOR, 20)
    catalogue = (bytes(validation) + entry).ljust(_BLOCK, b"\0")
    return bytes(16 * _BLOCK) + volume + record + end + catalogue + disk


def _fat_with(program: bytes) -> bytes:
    """Returns a file system with the program where firmware looks for it: `EFI/BOOT/BOOTX64.EFI`."""
    clusters = [_directory((b"BOOT       ", _DIRECTORY, 3, 0)), _directory((b"BOOTX64 EFI", _FILE, 4, len(program)))]
    parts = [program[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(program), _SECTOR)]
    entries = [0xFF0, 0xFFF, 0xFFF, 0xFFF, *range(5, 4 + len(parts)), 0xFFF]
    packed = sum(entry * 4096**number for number, entry in enumerate(entries))
    table = int(packed).to_bytes(_FAT_SECTORS * _SECTOR, "little")
    boot = struct.pack(
        "<3s8sHBHBHHBHHHII", b"\xeb\x3c\x90", b"INNKEEPR", _SECTOR, 1, 1, 2, _ROOT_ENTRIES, _SECTORS, 0xF0,
        _FAT_SECTORS, 18, 2, 0, 0,
    ) + struct.pack("<BBBI11s8s", 0, 0, 0x29, 1, b"INNKEEPER  ", b"FAT12   ")  # fmt: skip
    root = _directory((b"EFI        ", _DIRECTORY, 2, 0)).ljust(_ROOT_ENTRIES * 32, b"\0")
    disk = boot.ljust(510, b"\0") + b"\x55\xaa" + 2 * table + root + b"".join(clusters + parts)
    return disk.ljust(_SECTORS * _SECTOR, b"\0")


def _directory(entry: tuple[bytes, int, int, int]) -> bytes:
    name, kind, cluster, size = entry
    return struct.pack("<11sB14xHI", name, kind, cluster, size).ljust(_SECTOR, b"\0")
