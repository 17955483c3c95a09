"""Finds where the disk in a qcow2 image of the region has data, and reads that.

The region has written the image, in one form: version 3, clusters of 64 KiB, nothing compressed, no cluster of zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import repeat

from attrs import define, field, frozen

from common.errors import DriverFailed
from common.guests.deployment_spec import ImageRef
from common.rpc.commands.region_commands import CONTENT_PART_BYTES
from rackd.drivers.contract import ImageContent

_HEADER = struct.Struct(">4sIQIIQIIQ")
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_ENTRIES = _CLUSTER // 8
_OFFSET = (1 << 56) - (1 << 9)
_NO_DATA_AT = 0


@frozen(kw_only=True)
class Extent:
    """`length` bytes of the disk from `start` on."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@define
class _Tables:
    """The tables of clusters of an image, by the places in it; 0: nothing there.

    Keeps the last one: extents follow each other, and the content is at the region.
    """

    _content: ImageContent
    _places: tuple[int, ...]
    _last: int = field(default=-1, init=False)
    _read: bytes = field(default=b"", init=False)

    def entries(self, number: int, first: int, end: int) -> tuple[int, ...]:
        """Returns the places of the clusters `first` to `end` of one table; empty if it has none."""
        place = self._places[number]
        if place == _NO_DATA_AT:
            return ()
        if number != self._last:
            self._read, self._last = _read(self._content, place, _CLUSTER), number
        found = struct.unpack_from(f">{end - first}Q", self._read, 8 * first)
        return tuple(entry & _OFFSET for entry in found)


@frozen(kw_only=True)
class Qcow2Extents:
    """The disk in an image."""

    _image: ImageRef
    _content: ImageContent
    _tables: _Tables

    @classmethod
    def of(cls, image: ImageRef, content: ImageContent) -> Qcow2Extents:
        """Raises DriverFailed for another image than one of the region."""
        head = content.read(0, _HEADER.size)
        if len(head) < _HEADER.size:
            raise _damaged("it has no header")
        magic, version, backing, _, bits, size, encryption, entries, offset = _HEADER.unpack(head)
        if (magic, version, backing, bits, encryption) != (b"QFI\xfb", 3, 0, _CLUSTER_BITS, 0):
            raise _damaged("it has another form than the region writes")
        clusters = -(-size // _CLUSTER)
        if size != -(-image.virtual_size_bytes // 512) * 512 or entries < -(-clusters // _ENTRIES):
            raise _damaged(f"its disk has {size} bytes, not {image.virtual_size_bytes}")
        wanted = -(-clusters // _ENTRIES)
        tables = struct.unpack(f">{wanted}Q", _read(content, offset, 8 * wanted))
        return cls(image=image, content=content, tables=_Tables(content, tuple(entry & _OFFSET for entry in tables)))

    def joined(self, most: int) -> list[Extent]:
        """Returns where data is, in order: at most so many extents, which then have some zeros between data, too."""
        found, gap = list[Extent](), 0
        for start in (number * _CLUSTER for number, place in self._clusters() if place != _NO_DATA_AT):
            length = min(_CLUSTER, self._image.virtual_size_bytes - start)
            if found and start - found[-1].end <= gap:
                found[-1] = Extent(start=found[-1].start, length=start + length - found[-1].start)
            else:
                found.append(Extent(start=start, length=length))
            while len(found) > most:
                gap = max(_CLUSTER, 2 * gap)
                found = _merged(found, gap)
        return found

    def content_of(self, extent: Extent) -> Iterator[bytes]:
        """Yields the content in parts."""
        first, last = extent.start // _CLUSTER, -(-extent.end // _CLUSTER)
        left = extent.length
        for place, count in _runs(place for _, place in self._clusters(first, last)):
            size = min(count * _CLUSTER, left)
            left -= size
            for at in range(0, size, CONTENT_PART_BYTES):
                wanted = min(CONTENT_PART_BYTES, size - at)
                yield bytes(wanted) if place == _NO_DATA_AT else _read(self._content, place + at, wanted)

    def _clusters(self, first: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yields number and place in the image of each cluster."""
        total = -(-self._image.virtual_size_bytes // _CLUSTER)
        end = total if end is None else min(end, total)
        for number in range(first // _ENTRIES, -(-end // _ENTRIES)):
            start = number * _ENTRIES
            numbers = range(max(first, start), min(end, start + _ENTRIES))
            entries = self._tables.entries(number, numbers.start - start, numbers.stop - start)
            yield from zip(numbers, entries or repeat(_NO_DATA_AT, len(numbers)), strict=True)


def _runs(places: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yields place and number of clusters that follow each other in the image, or have no data."""
    begun, count = -1, 0
    for place in places:
        step = 0 if begun == _NO_DATA_AT else count * _CLUSTER
        if count and place == begun + step:
            count += 1
            continue
        if count:
            yield begun, count
        begun, count = place, 1
    if count:
        yield begun, count


def _merged(extents: list[Extent], gap: int) -> list[Extent]:
    found = extents[:1]
    for extent in extents[1:]:
        if extent.start - found[-1].end <= gap:
            found[-1] = Extent(start=found[-1].start, length=extent.end - found[-1].start)
        else:
            found.append(extent)
    return found


def _read(content: ImageContent, offset: int, size: int) -> bytes:
    data = content.read(offset, size)
    if len(data) != size:
        raise _damaged(f"it has no {size} bytes at {offset}")
    return data


def _damaged(reason: str) -> DriverFailed:
    return DriverFailed(f"The image of the disk arrived damaged: {reason}.")
