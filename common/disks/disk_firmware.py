"""Tells from the partition table of a disk which firmware boots it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from uuid import UUID

SECTOR_BYTES = 512
HEAD_BYTES = 34 * SECTOR_BYTES  # what a disk has before its first partition: MBR, GPT header, 128 entries

_BOOT_CODE_BYTES = 440
_MBR_ENTRIES = range(446, 510, 16)
_MBR_TYPE_OF_ESP = 0xEF
_GPT_SIGNATURE = b"EFI PART"
_ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")  # the partition with the boot loaders of UEFI
_ENTRY_BYTES = 16  # of an entry in the GPT: its type


def boots_with_uefi_only(head: bytes) -> bool:
    """`head` are the first HEAD_BYTES of the disk: it has a partition for UEFI, and no code for a BIOS to start.

    Most cloud images boot with either firmware.
    """
    return not head[:_BOOT_CODE_BYTES].strip(b"\0") and (
        _ESP in _gpt_types(head) or _MBR_TYPE_OF_ESP in _mbr_types(head)
    )


def _mbr_types(head: bytes) -> Iterator[int]:
    return (head[start + 4] for start in _MBR_ENTRIES if start + 4 < len(head))


def _gpt_types(head: bytes) -> Iterator[UUID]:
    header = head[SECTOR_BYTES : 2 * SECTOR_BYTES]
    if len(header) < SECTOR_BYTES or not header.startswith(_GPT_SIGNATURE):
        return
    first_sector, count, size = struct.unpack_from("<QII", header, 72)
    for number in range(min(count, HEAD_BYTES // _ENTRY_BYTES)):
        start = first_sector * SECTOR_BYTES + number * size
        entry = head[start : start + _ENTRY_BYTES]
        if len(entry) == _ENTRY_BYTES:
            yield UUID(bytes_le=entry)
