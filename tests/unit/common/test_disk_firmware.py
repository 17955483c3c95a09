"""Which disks boot with UEFI only, by their partition tables."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.disks.disk_firmware import HEAD_BYTES, SECTOR_BYTES, boots_with_uefi_only

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
BOOT_CODE = bytes.fromhex("eb6390") + bytes(437)


def mbr(*types: int) -> bytes:
    entries = b"".join(struct.pack("<4xB11x", one) for one in types)
    return bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt(*types: str) -> bytes:
    """A table with 128 entries, behind an MBR that protects it."""
    header = struct.pack("<8s64xQII", b"EFI PART", 2, 128, 128).ljust(SECTOR_BYTES, b"\0")
    entries = b"".join(UUID(one).bytes_le.ljust(128, b"\0") for one in types)
    return (mbr(0xEE) + header + entries).ljust(HEAD_BYTES, b"\0")


@pytest.mark.parametrize(
    ("head", "uefi"),
    [
        (gpt(ESP, LINUX), True),
        (gpt(LINUX, LINUX, ESP), True),
        (gpt(LINUX), False),
        (mbr(0xEF, 0x83), True),
        (mbr(0x83), False),
    ],
)
def test_a_partition_for_uefi_and_no_boot_code(head: bytes, uefi: bool) -> None:
    assert boots_with_uefi_only(head) is uefi
    assert not boots_with_uefi_only(BOOT_CODE + head[len(BOOT_CODE) :])


def test_an_empty_disk_and_a_short_one_do_not() -> None:
    assert not boots_with_uefi_only(bytes(HEAD_BYTES))
    assert not boots_with_uefi_only(b"")


@given(st.binary(max_size=200), st.integers(0, 3 * SECTOR_BYTES))
def test_any_table_can_be_read(data: bytes, position: int) -> None:
    head = bytearray(
        bytes(SECTOR_BYTES) + b"EFI PART".ljust(SECTOR_BYTES, b"\0") + bytes(HEAD_BYTES - 2 * SECTOR_BYTES)
    )
    head[position : position + len(data)] = data
    assert boots_with_uefi_only(bytes(head)) in {True, False}
