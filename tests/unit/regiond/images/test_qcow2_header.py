"""The header of a qcow2 image from strangers: what is read from it, and what is refused and why."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.guests.deployment_spec import ImageFormat
from regiond.images.inspection.content_format import inspect_head
from regiond.images.inspection.qcow2 import HEAD_BYTES, MAX_VIRTUAL_BYTES, Qcow2Header, parse_header
from regiond.images.model import BadImage
from tests.support.disk_images import qcow2, raw_disk

GIB = 2**30
FILE_BYTES = 10 * 2**20
# Offset and format of the header's fields, which a test changes one at a time.
FIELDS = {
    "version": (4, ">I"), "backing_offset": (8, ">Q"), "backing_length": (16, ">I"), "cluster_bits": (20, ">I"),
    "virtual_bytes": (24, ">Q"), "encryption": (32, ">I"), "l1_entries": (36, ">I"), "l1_offset": (40, ">Q"),
    "refcount_offset": (48, ">Q"), "refcount_clusters": (56, ">I"), "snapshots": (60, ">I"),
    "snapshots_offset": (64, ">Q"), "incompatible": (72, ">Q"), "refcount_order": (96, ">I"),
    "header_bytes": (100, ">I"),
}  # fmt: skip
NORMAL = {
    "version": 3, "cluster_bits": 16, "virtual_bytes": GIB, "l1_entries": 2, "l1_offset": 0x30000,
    "refcount_offset": 0x10000, "refcount_clusters": 1, "refcount_order": 4, "header_bytes": 104,
}  # fmt: skip
NAME_OF_DATA_FILE, ENCRYPTION, FEATURE_NAMES = 0x44415441, 0x0537BE77, 0x6803F857


def header(**changes: int) -> bytes:
    head = bytearray(b"QFI\xfb" + bytes(100))
    for name, value in {**NORMAL, **changes}.items():
        offset, kind = FIELDS[name]
        struct.pack_into(kind, head, offset, value)
    return bytes(head) + bytes(4096)


def with_late_extension(position: int, cluster_bits: int) -> bytes:
    """The name of a data file at this position, behind an extension that nobody knows."""
    known = header(cluster_bits=cluster_bits, l1_offset=2**21, refcount_offset=2**22)[:104]
    filler = extension(7, bytes(position - 104 - 8))
    head = known + filler + extension(NAME_OF_DATA_FILE, b"/dev/sda") + extension(0, b"")
    return head.ljust(2**21, b"\0")


def with_extensions(extensions: bytes) -> bytes:
    return header()[:104] + extensions + bytes(4096)


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def refusal(head: bytes, *, file_bytes: int = FILE_BYTES) -> str:
    with pytest.raises(BadImage) as refused:
        parse_header(head, file_bytes)
    return str(refused.value)


@pytest.mark.parametrize("options", [(), ("-o", "compat=0.10"), ("-o", "cluster_size=512"), ("-o", "extended_l2=on")])
def test_images_of_qemu_img_are_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    data = qcow2(tmp_path / "disk", *options, size="1G")
    assert parse_header(data[:HEAD_BYTES], len(data)).virtual_size_bytes == GIB


def test_the_head_alone_decides() -> None:
    assert parse_header(header(), FILE_BYTES) == Qcow2Header(version=3, virtual_size_bytes=GIB, cluster_bytes=65536)
    names = extension(FEATURE_NAMES, b"x" * 48) + extension(0, b"")
    assert parse_header(with_extensions(names), FILE_BYTES).virtual_size_bytes == GIB


def test_a_backing_file_is_refused_by_name() -> None:
    head = bytearray(header(backing_offset=1024, backing_length=11))
    head[1024:1035] = b"/etc/passwd"
    assert refusal(bytes(head)).startswith("The qcow2 image depends on a backing file '/etc/passwd'.")
    outside = refusal(header(backing_offset=2**60, backing_length=2**32 - 1))
    assert outside.startswith("The qcow2 image depends on a backing file. ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 4}, "version 4"),
        ({"cluster_bits": 8}, "clusters of 2^8 bytes"),
        ({"cluster_bits": 2**31}, "clusters of 2^2147483648 bytes"),
        ({"encryption": 2}, "is encrypted"),
        ({"incompatible": 4}, "data in an external file"),
        ({"incompatible": 2}, "marked as corrupt"),
        ({"incompatible": 1}, "not closed properly"),
        ({"incompatible": 32}, "unknown features (bits 0x20)"),
        ({"incompatible": 2**63}, "unknown features"),
        ({"virtual_bytes": 0}, "has 0 bytes"),
        ({"virtual_bytes": MAX_VIRTUAL_BYTES + 1}, f"possible are 1 to {MAX_VIRTUAL_BYTES}"),
        ({"virtual_bytes": 2**63}, "possible are 1 to"),
        ({"l1_entries": 1}, "a table of 1 entries; its size needs 2"),
        ({"l1_entries": 2**32 - 1}, "a table of 4294967295 entries"),
        ({"l1_offset": 0}, "L1 table of the qcow2 image is at byte 0"),
        ({"l1_offset": 0x30001}, "L1 table of the qcow2 image is at byte 196609"),
        ({"l1_offset": 2**63 + 2**20}, "is cut off: its L1 table"),
        ({"refcount_offset": 2**40}, "is cut off: its refcount table"),
        ({"refcount_clusters": 0}, "reference counts of 0 bytes"),
        ({"refcount_clusters": 2**32 - 1}, "reference counts of"),
        ({"refcount_order": 7}, "reference counts of 2^7 bits"),
        ({"snapshots": 70000}, "70000 snapshots"),
        ({"snapshots": 1, "snapshots_offset": 2**50}, "table of snapshots"),
        ({"header_bytes": 96}, "header of 96 bytes"),
        ({"header_bytes": 105}, "header of 105 bytes"),
        ({"header_bytes": 2**31}, "header of 2147483648 bytes"),
    ],
)
def test_what_cannot_be_is_refused_with_its_number(changes: dict[str, int], reason: str) -> None:
    assert reason in refusal(header(**changes))


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        (extension(NAME_OF_DATA_FILE, b"/dev/sda"), "names an external data file"),
        (extension(FEATURE_NAMES, b"") + extension(ENCRYPTION, bytes(16)), "is encrypted"),
        (struct.pack(">II", 7, 2**32 - 1), "do not fit"),
    ],
)
def test_extensions_are_read_to_their_end(extensions: bytes, reason: str) -> None:
    assert reason in refusal(with_extensions(extensions))


@pytest.mark.parametrize("position", [65536 - 8, 65536, 65536 + 8, 2**20, 2**21 - 24])
def test_an_extension_is_found_wherever_it_is(position: int) -> None:
    head = with_late_extension(position, cluster_bits=21)
    assert "names an external data file" in refusal(head[:HEAD_BYTES])


def test_what_was_not_given_is_not_taken_for_the_end() -> None:
    head = with_late_extension(65536, cluster_bits=21)
    assert "do not fit" in refusal(head[:65536])


def test_extensions_may_fill_their_cluster_without_an_end(tmp_path: Path) -> None:
    full = header(cluster_bits=9, l1_offset=512, refcount_offset=1024, l1_entries=65536)[:104]
    full += extension(7, bytes(512 - 104 - 8))
    assert parse_header(full + bytes(4096), FILE_BYTES).cluster_bytes == 512
    over = header(cluster_bits=9, l1_offset=512, refcount_offset=1024, l1_entries=65536)[:104]
    assert "do not fit" in refusal(over + extension(7, bytes(512 - 104)) + bytes(4096))


@pytest.mark.parametrize(("compression", "length"), [(0, 112), (2, 112), (255, 112), (1, 104)])
def test_an_unknown_type_of_compression_is_refused(compression: int, length: int) -> None:
    head = bytearray(header(incompatible=8, header_bytes=length))
    head[104] = compression
    assert "unknown type of compression" in refusal(bytes(head))


def test_a_file_that_ends_early_is_refused() -> None:
    assert "its header has 50 of 72 bytes" in refusal(header()[:50])
    assert "cut off within its header" in refusal(header()[:80])
    assert "its L1 table ends at byte 196624, the file at 196608" in refusal(header(), file_bytes=0x30000)


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=2**40))
def test_any_bytes_are_read_or_refused(tail: bytes, file_bytes: int) -> None:
    for head in (tail, b"QFI\xfb" + tail, b"QFI\xfb\x00\x00\x00\x03" + tail, header()[:104] + tail):
        with suppress(BadImage):
            assert 0 < parse_header(head, file_bytes).virtual_size_bytes <= MAX_VIRTUAL_BYTES


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.integers(min_value=0, max_value=2**32 - 1)))
def test_an_accepted_image_refers_to_nothing(changes: dict[str, int]) -> None:
    try:
        parse_header(header(**changes), FILE_BYTES)
    except BadImage:
        return
    assert not any(changes.get(name) for name in ("backing_offset", "backing_length", "encryption"))
    if changes.get("version", 3) == 3:
        assert changes.get("incompatible", 0) & ~0b11000 == 0


def test_a_raw_disk_needs_a_partition_table_and_whole_sectors() -> None:
    disk = raw_disk(4096)
    assert inspect_head(disk, 4096) == (ImageFormat.RAW, 4096)
    for head, size, reason in (
        (disk, 4097, "4097 bytes are no whole sectors"),
        (bytes(4096), 4096, "begins with 00 00 00 00 00 00 00 00: neither a qcow2 image nor a disk"),
        (b"<!DOCTYPE html>" + bytes(512), 527, "neither a qcow2 image nor a disk with partitions"),
        (b"", 0, "begins with nothing"),
        (disk, 2**60, "the most are"),
    ):
        with pytest.raises(BadImage, match=reason):
            inspect_head(head, size)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x1f\x8b\x08", "a gzip file within the file: pack it once"),
        (b"\xfd7zXZ\x00\x00", "an xz file within the file: pack it once"),
        (b"KDMV\x01", "a VMDK image: convert it"),
        (bytes(257) + b"ustar\x00", "an archive within the file: pack it once"),
        (bytes(64) + b"\x7f\x10\xda\xbe", "a VDI image: convert it"),
    ],
)
def test_what_people_upload_by_mistake_is_named(head: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        inspect_head(head + bytes(512), 1024)
