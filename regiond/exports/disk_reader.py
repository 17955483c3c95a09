"""Reads the disk in a qcow2 image from untrusted bytes. Nothing else opens the image.

Accepted is what `disk_writer` writes, and what `qemu-img convert -O qcow2` does: all data in the image itself, not
compressed and not encrypted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from attrs import frozen

from common.disks.disk_content import MAX_PART_BYTES, MAX_ZERO_BYTES, DiskPart, is_zero
from regiond.exports.disk_writer import HEADER, MAGIC
from regiond.exports.model import BadExport

_EXTENSION = struct.Struct(">II")
_BACKING_FORMAT, _DATA_FILE, _ENCRYPTION, _BITMAPS, _FEATURE_NAMES = (
    0xE2792ACA, 0x44415441, 0x0537BE77, 0x23852875, 0x6803F857,
)  # fmt: skip
_HARMLESS = (_FEATURE_NAMES,)
_MAX_HEADER_BYTES = 64 * 1024
_OFFSET = (1 << 56) - (1 << 9)  # bits 9 to 55 of an entry
_ZEROS, _COMPRESSED = 1, 1 << 62
_MAX_PART_CLUSTER_BITS = 21
_GRAIN = 64 * 1024  # of zeros that are left out


@frozen(kw_only=True)
class _Layout:
    cluster_bits: int
    disk_bytes: int
    l1_entries: int
    l1_offset: int

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits


@frozen
class DiskImage:
    """The image of `length` bytes from `start` of a file. Methods block, and raise BadExport for a damaged image."""

    _file: BinaryIO
    _start: int
    _length: int

    def check(self, size_bytes: int) -> None:
        """Returns if the header describes a disk of `size_bytes`, rounded up to sectors, in this image alone."""
        layout = self._layout()
        if layout.disk_bytes != -(-size_bytes // 512) * 512:
            raise BadExport(f"The qcow2 image has a disk of {layout.disk_bytes} bytes; machine.json says {size_bytes}.")

    def parts(self, size_bytes: int) -> Iterator[DiskPart]:
        """Yields the content of the disk, which has `size_bytes`, in parts that a host takes."""
        self.check(size_bytes)
        start = 0
        for offset, data in _joined(self._clusters(self._layout()), size_bytes):
            while offset - start > MAX_ZERO_BYTES:
                yield DiskPart(start=start, offset=start + MAX_ZERO_BYTES)
                start += MAX_ZERO_BYTES
            yield DiskPart(start=start, offset=offset, data=data)
            start = offset + len(data)
        while start < size_bytes:
            end = min(start + MAX_ZERO_BYTES, size_bytes)
            yield DiskPart(start=start, offset=end)
            start = end

    def _layout(self) -> _Layout:
        head = self._read(0, min(HEADER.size, self._length))
        if len(head) < HEADER.size or not head.startswith(MAGIC):
            raise BadExport("The image of a disk is no qcow2 image.")
        (
            _, version, backing, backing_length, cluster_bits, size, encryption, entries, offset, _, _, snapshots, _,
            incompatible, _, _, _, header_bytes,
        ) = HEADER.unpack(head)  # fmt: skip
        if backing or backing_length:
            raise BadExport("The qcow2 image names a backing file; all its data must be in the image itself.")
        if version != 3 or encryption or incompatible or snapshots:
            raise BadExport(
                "The qcow2 image is encrypted, damaged, has snapshots, an external data file, or an old version. "
                "Convert it: qemu-img convert -O qcow2."
            )
        if not 9 <= cluster_bits <= _MAX_PART_CLUSTER_BITS or not HEADER.size <= header_bytes <= _MAX_HEADER_BYTES:
            raise BadExport("The header of the qcow2 image is damaged.")
        found = _Layout(cluster_bits=cluster_bits, disk_bytes=size, l1_entries=entries, l1_offset=offset)
        per_table = found.cluster_bytes // 8
        if not 0 < size <= 2**44 or entries < -(-size // (found.cluster_bytes * per_table)):
            raise BadExport("The qcow2 image is damaged: its table is too short for the disk.")
        self._check_extensions(header_bytes)
        return found

    def _check_extensions(self, position: int) -> None:
        while position + _EXTENSION.size <= min(self._length, _MAX_HEADER_BYTES):
            kind, length = _EXTENSION.unpack(self._read(position, _EXTENSION.size))
            if kind == 0:
                return
            if kind not in _HARMLESS:
                raise BadExport(
                    "The qcow2 image has a part in its header that Innkeeper does not accept: it may name another file."
                )
            position += _EXTENSION.size + -(-length // 8) * 8
        raise BadExport("The header of the qcow2 image is damaged: its extensions have no end.")

    def _clusters(self, layout: _Layout) -> Iterator[tuple[int, bytes]]:
        """Yields place and content of each cluster that the image has."""
        clusters = -(-layout.disk_bytes // layout.cluster_bytes)
        per_table = layout.cluster_bytes // 8
        for table in range(-(-clusters // per_table)):
            (entry,) = struct.unpack(">Q", self._read(layout.l1_offset + 8 * table, 8))
            if not entry & _OFFSET:
                continue
            count = min(per_table, clusters - table * per_table)
            entries = struct.unpack(f">{count}Q", self._read(entry & _OFFSET, 8 * count))
            for number, one in enumerate(entries, start=table * per_table):
                if one & _COMPRESSED:
                    raise BadExport("The qcow2 image is compressed. Convert it: qemu-img convert -O qcow2.")
                if one & _OFFSET and not one & _ZEROS:
                    yield number * layout.cluster_bytes, self._read(one & _OFFSET, layout.cluster_bytes)

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._length:
            raise BadExport(f"The qcow2 image is cut off: it has no {size} bytes at {offset}.")
        self._file.seek(self._start + offset)
        return self._file.read(size)


def _joined(clusters: Iterator[tuple[int, bytes]], size_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yields place and content of what is not zero, up to `size_bytes`; what follows another is joined with it."""
    start, found = 0, bytearray()
    for offset, cluster in clusters:
        for first in range(0, len(cluster), _GRAIN):
            at, data = offset + first, cluster[first : first + _GRAIN][: max(0, size_bytes - offset - first)]
            if is_zero(data):
                continue
            if found and (at != start + len(found) or len(found) + len(data) > MAX_PART_BYTES):
                yield start, bytes(found)
                found.clear()
            if not found:
                start = at
            found += data
    if found:
        yield start, bytes(found)
