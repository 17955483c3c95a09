"""The extents of a disk in an image of the region: found and read with few requests to the region."""

from __future__ import annotations

import io

from attrs import define

from common.disks.disk_content import DiskPart
from common.guests.deployment_spec import ImageFormat, ImageRef
from rackd.drivers.lxd.guests.disks.qcow2_extents import Qcow2Extents
from regiond.exports.disk_writer import CLUSTER, ENTRIES, DiskWriter

TABLES = 3


@define
class CountedContent:
    data: bytes
    reads: int = 0

    def read(self, offset: int, size: int) -> bytes:
        self.reads += 1
        return self.data[offset : offset + size]


def test_each_table_of_a_fragmented_disk_is_read_once() -> None:
    numbers = [table * ENTRIES + 2 * number for table in range(TABLES) for number in range(50)]
    size_bytes, file = TABLES * ENTRIES * CLUSTER, io.BytesIO()
    writer = DiskWriter(file, size_bytes)
    for number in numbers:
        data = bytes([number % 255 + 1]) * CLUSTER
        writer.add(DiskPart(start=writer.position, offset=number * CLUSTER, data=data))
    writer.finish()
    content = CountedContent(file.getvalue())
    image = ImageRef(
        sha256="0" * 64, size_bytes=len(content.data), format=ImageFormat.QCOW2, virtual_size_bytes=size_bytes
    )
    source = Qcow2Extents.of(image, content)
    extents = source.joined(1000)
    assert [extent.start // CLUSTER for extent in extents] == numbers
    content.reads = 0
    for number, extent in zip(numbers, extents, strict=True):
        assert b"".join(source.content_of(extent)) == bytes([number % 255 + 1]) * CLUSTER
    assert content.reads == len(numbers) + TABLES
