"""Reads the disk in a qcow2 image, whose content is at the region, from its beginning to its end.

For volumes that are block devices: libvirt copies those byte by byte and knows no formats there. The layout is QEMU's
docs/interop/qcow2.txt: big-endian fields; a table (L1) of tables (L2) of clusters.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from attrs import frozen

from common.errors import DriverFailed, Unsupported
from common.guests.deployment_spec import ImageRef
from common.rpc.commands.region_commands import CONTENT_PART_BYTES
from rackd.drivers.contract import ImageContent

_HEADER = struct.Struct(">4sIQIIQIIQ")
_HEAD_BYTES = 112  # up to the type of the compression
_FEATURES_AT, _COMPRESSION_TYPE_AT = 72, 104
_DIRTY, _COMPRESSION_TYPE = 1, 8
_OFFSET = (1 << 56) - (1 << 9)  # bits 9 to 55 of an entry
_ZEROS, _COMPRESSED = 1, 1 << 62
_SECTOR_BYTES = 512


@frozen(kw_only=True)
class _Layout:
    cluster_bits: int
    disk_bytes: int
    l1_entries: int
    l1_offset: int
    has_zero_flag: bool
    is_zstd: bool

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits

    def compressed_range(self, entry: int) -> tuple[int, int]:
        """Returns offset and greatest length of a compressed cluster."""
        offset_bits = 62 - (self.cluster_bits - 8)
        offset = entry & ((1 << offset_bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> offset_bits) + 1
        return offset, sectors * _SECTOR_BYTES - offset % _SECTOR_BYTES


def disk_parts(image: ImageRef, content: ImageContent) -> Iterator[bytes]:
    """Yields the disk in clusters, `image.virtual_size_bytes` in all; what is not allocated is zeros.

    Raises Unsupported for features that few images have, DriverFailed if the tables are damaged, and what `content`
    raises.
    """
    window = _Window(image, content)
    layout = _layout_of(window.read(0, min(_HEAD_BYTES, image.size_bytes)))
    if layout.disk_bytes != image.virtual_size_bytes:
        raise DriverFailed(f"The disk in the image has {layout.disk_bytes} bytes, not {image.virtual_size_bytes}.")
    left_bytes = layout.disk_bytes
    for entry in _cluster_entries(layout, window):
        cluster = _cluster(layout, window, entry)
        yield cluster[:left_bytes]
        left_bytes -= len(cluster)


def _layout_of(head: bytes) -> _Layout:
    if len(head) < _HEADER.size or not head.startswith(b"QFI\xfb"):
        raise DriverFailed("The content is no qcow2 image.")
    _, version, backing, _, cluster_bits, size, encryption, entries, offset = _HEADER.unpack_from(head)
    features, compression = 0, 0
    if version > 2 and len(head) >= _HEAD_BYTES:
        (features,) = struct.unpack_from(">Q", head, _FEATURES_AT)
        compression = head[_COMPRESSION_TYPE_AT] if features & _COMPRESSION_TYPE else 0
    if backing or encryption or features & ~(_DIRTY | _COMPRESSION_TYPE) or not 9 <= cluster_bits <= 21:
        raise Unsupported(
            "This qcow2 image has features that Innkeeper cannot read for a storage pool of block devices. Convert it: "
            "qemu-img convert -O raw."
        )
    return _Layout(
        cluster_bits=cluster_bits, disk_bytes=size, l1_entries=entries, l1_offset=offset, has_zero_flag=version > 2,
        is_zstd=compression != 0,
    )  # fmt: skip


def _cluster_entries(layout: _Layout, window: _Window) -> Iterator[int]:
    """Yields the entry of each cluster of the disk; 0 if it is not allocated."""
    clusters = -(-layout.disk_bytes // layout.cluster_bytes)
    per_table = layout.cluster_bytes // 8
    if layout.l1_entries * per_table < clusters:
        raise DriverFailed("The qcow2 image is damaged: its table is too short for the disk.")
    for number in range(-(-clusters // per_table)):
        (table,) = struct.unpack(">Q", window.read(layout.l1_offset + 8 * number, 8))
        count = min(per_table, clusters - number * per_table)
        if not table & _OFFSET:
            yield from (0 for _ in range(count))
        else:
            yield from struct.unpack(f">{count}Q", window.read(table & _OFFSET, 8 * count))


def _cluster(layout: _Layout, window: _Window, entry: int) -> bytes:
    if entry & _COMPRESSED:
        return _expanded(layout, window, entry)
    if not entry & _OFFSET or (layout.has_zero_flag and entry & _ZEROS):
        return bytes(layout.cluster_bytes)
    return window.read(entry & _OFFSET, layout.cluster_bytes)


def _expanded(layout: _Layout, window: _Window, entry: int) -> bytes:
    if layout.is_zstd:
        raise Unsupported(
            "This qcow2 image is compressed with zstd, which Innkeeper cannot read for a storage pool of block "
            "devices. Convert it: qemu-img convert -O raw."
        )
    try:
        data = window.read(*layout.compressed_range(entry), to_end=True)
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, layout.cluster_bytes)
    except zlib.error as error:
        raise DriverFailed(f"The qcow2 image is damaged: {error}.") from error
    if len(found) != layout.cluster_bytes:
        raise DriverFailed(f"The qcow2 image is damaged: a cluster has {len(found)} bytes.")
    return found


class _Window:
    """Reads any range of the content. Keeps the last part for the next reads, which are mostly beside it.

    Tables and data lie apart, so it keeps one part for each.
    """

    _PARTS = 4

    def __init__(self, image: ImageRef, content: ImageContent) -> None:
        self._size_bytes = image.size_bytes
        self._content = content
        self._parts: dict[int, bytes] = {}

    def read(self, offset: int, size: int, *, to_end: bool = False) -> bytes:
        """Raises DriverFailed beyond the end of the content, or returns less with `to_end`."""
        end = min(offset + size, self._size_bytes)
        if offset >= end or (end < offset + size and not to_end):
            raise DriverFailed(f"The qcow2 image is damaged: it has no {size} bytes at {offset}.")
        first, last = offset // CONTENT_PART_BYTES, (end - 1) // CONTENT_PART_BYTES
        data = b"".join(self._part(number) for number in range(first, last + 1))
        start = offset - first * CONTENT_PART_BYTES
        return data[start : start + end - offset]

    def _part(self, number: int) -> bytes:
        found = self._parts.pop(number, None)
        if found is None:
            start = number * CONTENT_PART_BYTES
            found = self._content.read(start, min(CONTENT_PART_BYTES, self._size_bytes - start))
        self._parts[number] = found  # the last one is the newest
        while len(self._parts) > self._PARTS:
            del self._parts[next(iter(self._parts))]
        return found
