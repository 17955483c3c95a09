"""The images in files of VMs: what is written is read again, by QEMU's rules, and what refers elsewhere is refused."""

from __future__ import annotations

import io
import os
import struct

import pytest

from common.disks.disk_content import MAX_PART_BYTES, MAX_ZERO_BYTES, DiskPart
from regiond.exports import description
from regiond.exports.disk_reader import DiskImage
from regiond.exports.disk_writer import DiskWriter
from regiond.exports.model import BadExport

MIB = 2**20
BEFORE = b"the archive before it"
CASES = {
    "empty": (5 * MIB, ()),
    "less than a cluster": (1000, ((3, b"abc"),)),
    "spread": (64 * MIB, ((0, os.urandom(3 * MIB + 512)), (40 * MIB + 4096, b"x" * 70_000), (64 * MIB - 1, b"\1"))),
    "across tables": (2**30, ((2**29 - 10, b"y" * 20), (2**30 - 512, b"z" * 512))),
}


def image_of(size: int, parts: tuple[tuple[int, bytes], ...]) -> bytes:
    file, position = io.BytesIO(), 0
    file.write(BEFORE)
    writer = DiskWriter(file, size)
    for offset, data in parts:
        writer.add(DiskPart(start=position, offset=offset, data=data))
        position = offset + len(data)
    length = writer.finish()
    found = file.getvalue()[len(BEFORE) :]
    assert len(found) == length
    return found


def read(image: bytes, size: int) -> list[DiskPart]:
    return list(DiskImage(io.BytesIO(BEFORE + image), len(BEFORE), len(image)).parts(size))


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_in_parts_that_follow_each_other(case: str) -> None:
    size, parts = CASES[case]
    start, found = 0, read(image_of(size, parts), size)
    for one in found:
        assert one.start == start
        assert len(one.data) <= MAX_PART_BYTES
        assert one.offset - one.start <= MAX_ZERO_BYTES
        start = one.end
    assert start == size
    for offset, data in parts:
        held = bytearray(len(data))
        for one in found:
            first, last = max(offset, one.offset), min(offset + len(data), one.end)
            if first < last:
                held[first - offset : last - offset] = one.data[first - one.offset : last - one.offset]
        assert bytes(held) == data


def test_the_same_content_makes_the_same_image_however_it_arrives() -> None:
    data = os.urandom(MIB)
    whole = image_of(4 * MIB, ((MIB, data),))
    split = image_of(4 * MIB, ((MIB, data[:100]), (MIB + 100, data[100:]), (3 * MIB, bytes(MIB))))
    assert whole == split


def test_a_part_that_does_not_follow_is_rejected() -> None:
    writer = DiskWriter(io.BytesIO(), MIB)
    for start, offset, data in ((1, 1, b"x"), (0, MIB, b"x")):
        with pytest.raises(ValueError, match="expected from 0"):
            writer.add(DiskPart(start=start, offset=offset, data=data))


REFUSED = {
    "backing file": ((8, ">QI", (1024, 11)), "names a backing file"),
    "external data": ((72, ">Q", (4,)), "external data file"),
    "encryption": ((32, ">I", (1,)), "encrypted"),
    "snapshots": ((60, ">I", (1,)), "snapshots"),
    "version 2": ((4, ">I", (2,)), "old version"),
    "no qcow2": ((0, ">I", (7,)), "no qcow2 image"),
    "another size": ((24, ">Q", (5 * MIB + 512,)), "machine.json says"),
    "a short table": ((36, ">I", (0,)), "too short"),
    "large clusters": ((20, ">I", (40,)), "damaged"),
    "a data file by name": ((104, ">II", (0x44415441, 11)), "may name another file"),
    "a table beyond the end": ((40, ">Q", (2**50,)), "cut off"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_image_that_is_not_like_ours_is_refused(what: str) -> None:
    (at, layout, values), reason = REFUSED[what]
    image = bytearray(image_of(5 * MIB, ((MIB, b"data"),)))
    struct.pack_into(layout, image, at, *values)
    with pytest.raises(BadExport, match=reason):
        read(bytes(image), 5 * MIB)


TOLD = (
    b'{"format": "innkeeper-machine", "version": 1, "hostname": "web", "architecture": "amd64", "cores": 1, '
    b'"memory_mib": 1024, "disks": [{"file": "disk-0.qcow2", "format": "qcow2", "size_bytes": 1, "file_bytes": 1, '
    b'"sha256": "' + b"0" * 64 + b'"}]}'
)
UNTRUE = {
    "no JSON": (b"{", b"", "no JSON text"),
    "a list": (TOLD, b"[]", "no JSON object"),
    "another format": (b"innkeeper-machine", b"ova", "has the format"),
    "a later version": (b'"version": 1', b'"version": 2', "reads 1"),
    "no cores": (b'"cores": 1', b'"cores": 0', "cores of machine.json"),
    "text for a number": (b'"cores": 1', b'"cores": "1"', "whole number"),
    "true for a number": (b'"cores": 1', b'"cores": true', "whole number"),
    "a control character": (b'"web"', b'"we\\u0000b"', "printable"),
    "a path": (b"disk-0.qcow2", b"../etc/passwd", "disks have disk-0.qcow2"),
    "raw": (b'"format": "qcow2"', b'"format": "raw"', "not qcow2"),
    "no hash": (b"0" * 64, b"0" * 63, "SHA-256"),
    "no disks": (b'"disks"', b'"others"', "no disk"),
    "a huge disk": (b'"size_bytes": 1', b'"size_bytes": 99999999999999999', "size_bytes"),
}


@pytest.mark.parametrize("what", UNTRUE)
def test_a_description_outside_of_its_bounds_is_refused(what: str) -> None:
    before, after, reason = UNTRUE[what]
    text = before if not after else TOLD.replace(before, after)
    with pytest.raises(BadExport, match=reason):
        description.parsed(text)


def test_a_description_is_read_as_it_was_written() -> None:
    found = description.parsed(TOLD)
    assert description.parsed(description.written(found)) == found
    with pytest.raises(BadExport, match="the most are"):
        description.parsed(TOLD.ljust(description.MAX_BYTES + 1))
