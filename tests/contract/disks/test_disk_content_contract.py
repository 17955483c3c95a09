"""The content of disks, read and written in parts while the guest is off."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from functools import partial

import pytest
from attrs import evolve, frozen

from common.boot import BootDevice
from common.disks.disk_content import MAX_PART_BYTES, DiskPart, is_zero
from common.errors import Busy, LinkLost, NotFound, WrongState
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import PowerAction
from regiond.exports.disk_writer import DiskWriter
from tests.contract.disks.test_disk_changes_contract import composed, listed, switch
from tests.contract.support.driver_fixtures import Capability, CapableFixture, DriverFixture, requires
from tests.contract.support.guest_samples import DISK_BYTES, MIB, sha256_of

HAS_CONTENT = requires(Capability.DISK_CONTENT)
IN_PARTS = requires(Capability.DISK_PARTS)
WHOLE = requires(Capability.WHOLE_DISKS)


@frozen
class MemoryContent:
    """Raises LinkLost beyond `most` bytes."""

    data: bytes
    most: int = 2**40

    def read(self, offset: int, size: int) -> bytes:
        if offset + size > self.most:
            raise LinkLost("The region is gone.")
        return self.data[offset : offset + size]


def parts(host: DriverFixture, spec: GuestSpec, disk: DiskSpec) -> list[DiskPart]:
    """Returns all parts of the disk with data; checks that each follows the one before."""
    host.driver.begin_read(spec.ref, disk.pool_id, disk.volume)
    start, size_bytes, found = 0, 1, list[DiskPart]()
    while start < size_bytes:
        read = host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, start)
        assert read.part.start == start
        assert len(read.part.data) <= MAX_PART_BYTES
        size_bytes = read.size_bytes
        assert start < read.part.end <= size_bytes
        start = read.part.end
        found += [read.part] if read.part.data else []
    assert size_bytes == disk.size_bytes
    host.driver.end_read(spec.ref, disk.pool_id, disk.volume)
    return found


def content_in(read: list[DiskPart], size_bytes: int) -> str:
    return sha256_of(size_bytes, ((part.offset, part.data) for part in read))


def write(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, *written: DiskPart) -> None:
    for part in written:
        host.driver.write_disk(spec.ref, disk.pool_id, disk.volume, part)


@HAS_CONTENT
@pytest.mark.one_double
def test_an_empty_disk_has_no_data(host: CapableFixture) -> None:
    spec = composed(host)
    assert all(is_zero(part.data) for part in parts(host, spec, spec.disks[0]))


@IN_PARTS
def test_what_is_read_and_written_is_the_same(host: CapableFixture) -> None:
    spec = composed(host, disks=2)
    source, target = spec.disks
    head, end = os.urandom(3 * MIB + 512), os.urandom(MIB)
    for offset, data in ((0, head), (DISK_BYTES // 2 + 4096, end), (DISK_BYTES - MIB, end)):
        for start in range(0, len(data), MAX_PART_BYTES):
            part = data[start : start + MAX_PART_BYTES]
            write(host, spec, source, DiskPart(start=offset + start, offset=offset + start, data=part))
    read = parts(host, spec, source)
    assert content_in(read, DISK_BYTES) == host.content_of(spec, source)
    write(host, spec, target, *read)
    assert host.content_of(spec, target) == host.content_of(spec, source)
    write(host, spec, target, *read)
    assert host.content_of(spec, target) == host.content_of(spec, source)
    switch(host, spec, PowerAction.ON)
    switch(host, spec, PowerAction.FORCE_OFF)


@IN_PARTS
def test_zeros_are_not_sent(host: CapableFixture) -> None:
    spec = composed(host)
    write(host, spec, spec.disks[0], DiskPart(start=0, offset=DISK_BYTES - 4096, data=b"\1" * 4096))
    read = parts(host, spec, spec.disks[0])
    assert sum(len(part.data) for part in read) <= 2 * MIB
    assert content_in(read, DISK_BYTES) == host.content_of(spec, spec.disks[0])


@HAS_CONTENT
@pytest.mark.one_double
def test_nothing_is_read_after_the_end(host: CapableFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    host.driver.begin_read(spec.ref, disk.pool_id, disk.volume)
    read = host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, DISK_BYTES)
    assert (read.part, read.size_bytes) == (DiskPart(start=DISK_BYTES, offset=DISK_BYTES), DISK_BYTES)


@IN_PARTS
def test_nothing_is_written_after_the_end(host: CapableFixture) -> None:
    spec = composed(host)
    with pytest.raises(WrongState):
        write(host, spec, spec.disks[0], DiskPart(start=DISK_BYTES - 1, offset=DISK_BYTES - 1, data=b"\1\1"))
    assert all(is_zero(part.data) for part in parts(host, spec, spec.disks[0]))


@HAS_CONTENT
def test_a_guest_that_runs_is_not_read(host: CapableFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    switch(host, spec, PowerAction.ON)
    for read in (host.driver.begin_read, partial(host.driver.read_disk, start=0)):
        with pytest.raises(WrongState):
            read(spec.ref, disk.pool_id, disk.volume)
    switch(host, spec, PowerAction.FORCE_OFF)


@IN_PARTS
def test_a_guest_that_runs_is_not_written(host: CapableFixture) -> None:
    spec = composed(host)
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState):
        write(host, spec, spec.disks[0], DiskPart(start=0, offset=0, data=b"\1"))
    switch(host, spec, PowerAction.FORCE_OFF)


@WHOLE
@pytest.mark.one_double
def test_a_guest_that_runs_is_not_filled(host: CapableFixture) -> None:
    spec = composed(host)
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState):
        fill(host, spec, spec.disks[0], [])
    switch(host, spec, PowerAction.FORCE_OFF)


@HAS_CONTENT
@pytest.mark.one_double
def test_only_the_disks_of_the_guest_are_read(host: CapableFixture) -> None:
    spec, other = composed(host), composed(host, "other")
    foreign = other.disks[0]
    for read in (host.driver.begin_read, partial(host.driver.read_disk, start=0)):
        with pytest.raises(NotFound):
            read(spec.ref, foreign.pool_id, foreign.volume)


@IN_PARTS
def test_only_the_disks_of_the_guest_are_written(host: CapableFixture) -> None:
    spec, other = composed(host), composed(host, "other")
    with pytest.raises(NotFound):
        write(host, spec, other.disks[0], DiskPart(start=0, offset=0, data=b"\1"))


@WHOLE
@pytest.mark.one_double
def test_only_the_disks_of_the_guest_are_filled(host: CapableFixture) -> None:
    spec, other = composed(host), composed(host, "other")
    with pytest.raises(NotFound):
        fill(host, spec, other.disks[0], [])


@IN_PARTS
def test_the_guest_boots_from_what_was_written(host: CapableFixture) -> None:
    spec = composed(host)
    write(host, spec, spec.disks[0], DiskPart(start=0, offset=0, data=b"\1" * 4096))
    for _ in range(2):
        host.driver.make_bootable(spec)
        assert (listed(host, spec).boot_order or (None,))[0] is BootDevice.DISK
    before = host.content_of(spec, spec.disks[0])
    host.driver.make_bootable(spec)
    assert host.content_of(spec, spec.disks[0]) == before


@HAS_CONTENT
@pytest.mark.one_double
def test_a_missing_guest_has_no_content(host: CapableFixture) -> None:
    spec = composed(host)
    absent = evolve(spec.ref, marker=evolve(spec.marker, machine_id=spec.marker.installation_id))
    with pytest.raises(NotFound):
        host.driver.read_disk(absent, spec.disks[0].pool_id, spec.disks[0].volume, 0)


@pytest.mark.clusters
@HAS_CONTENT
@pytest.mark.one_double
def test_what_is_read_is_on_the_disk(host: CapableFixture) -> None:
    spec = composed(host, disks=2)
    for disk in spec.disks:
        wanted = host.write_content(spec, disk)
        for _ in range(2):
            assert content_in(parts(host, spec, disk), DISK_BYTES) == wanted


@pytest.mark.clusters
@HAS_CONTENT
def test_nothing_is_left_of_a_reading(host: CapableFixture) -> None:
    spec = composed(host, disks=2)
    before = host.volumes()
    for disk in spec.disks:
        host.driver.begin_read(spec.ref, disk.pool_id, disk.volume)
        for _ in range(2):
            host.driver.end_read(spec.ref, disk.pool_id, disk.volume)
    host.driver.begin_read(spec.ref, spec.disks[1].pool_id, spec.disks[1].volume)
    host.driver.decompose(spec.ref, tuple((disk.pool_id, disk.volume) for disk in spec.disks))
    assert not host.volumes() & before
    for disk in spec.disks:
        host.driver.end_read(spec.ref, disk.pool_id, disk.volume)


@WHOLE
@pytest.mark.one_double
def test_a_disk_that_is_no_longer_readable_is_begun_again(host: CapableFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    host.driver.begin_read(spec.ref, disk.pool_id, disk.volume)
    host.driver.end_read(spec.ref, disk.pool_id, disk.volume)
    with pytest.raises(Busy):
        host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, 0)


def image_of(parts: Iterable[DiskPart], size_bytes: int) -> tuple[ImageRef, MemoryContent]:
    """Returns the image that a region would write of the disk."""
    file = io.BytesIO()
    writer = DiskWriter(file, size_bytes)
    for part in parts:
        writer.add(evolve(part, start=writer.position))
    image_bytes = writer.finish()
    data = file.getvalue()
    image = ImageRef(
        sha256=hashlib.sha256(data).hexdigest(), size_bytes=image_bytes, virtual_size_bytes=size_bytes,
        format=ImageFormat.QCOW2,
    )  # fmt: skip
    return image, MemoryContent(data)


def fill(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, read: Iterable[DiskPart]) -> None:
    image, content = image_of(read, disk.size_bytes)
    host.driver.fill_disk(spec, disk.volume, image, content)


@pytest.mark.clusters
@WHOLE
@pytest.mark.one_double
def test_what_is_read_fills_another_disk(host: CapableFixture) -> None:
    source, spec = composed(host, disks=2), composed(host, "copy", disks=2)
    wanted = [host.write_content(source, disk) for disk in source.disks]
    read = [parts(host, source, disk) for disk in source.disks]
    before = host.volumes()
    for disk, content in zip(spec.disks, read, strict=True):
        for _ in range(2):
            fill(host, spec, disk, content)
    assert [host.content_of(spec, disk) for disk in spec.disks] == wanted
    assert [host.content_of(source, disk) for disk in source.disks] == wanted
    assert host.volumes() == before
    host.driver.make_bootable(spec)
    found = listed(host, spec)
    assert (found.boot_order or (None,))[0] is BootDevice.DISK
    assert {disk.volume for disk in found.disks} == {disk.volume for disk in spec.disks}
    switch(host, spec, PowerAction.ON)
    switch(host, spec, PowerAction.FORCE_OFF)


@WHOLE
def test_the_disk_with_data_beyond_many_holes_is_filled(host: CapableFixture) -> None:
    spec = composed(host, disks=2)
    marks = [DiskPart(start=0, offset=at, data=b"\1" * 512) for at in (0, 3 * 65536, 40 * MIB + 4096, DISK_BYTES - 512)]
    for disk in spec.disks:
        fill(host, spec, disk, marks)
        assert host.content_of(spec, disk) == content_in(marks, DISK_BYTES)


@WHOLE
def test_a_content_that_breaks_off_leaves_a_disk_that_is_filled_again(host: CapableFixture) -> None:
    spec = composed(host, disks=2)
    mark = [DiskPart(start=0, offset=MIB, data=b"\1" * MIB)]
    for disk in spec.disks:
        image, content = image_of(mark, disk.size_bytes)
        with pytest.raises(LinkLost):
            host.driver.fill_disk(spec, disk.volume, image, evolve(content, most=2 * 65536))
        fill(host, spec, disk, mark)
        assert host.content_of(spec, disk) == content_in(mark, DISK_BYTES)
    assert {disk.volume for disk in listed(host, spec).disks} == {disk.volume for disk in spec.disks}


@WHOLE
@pytest.mark.parametrize("number", [0, 1])
def test_a_failed_import_leaves_nothing_once_the_guest_is_removed(host: CapableFixture, number: int) -> None:
    before = host.volumes()
    spec = composed(host, disks=2)
    image, content = image_of([DiskPart(start=0, offset=MIB, data=b"\1" * MIB)], DISK_BYTES)
    with pytest.raises(LinkLost):
        host.driver.fill_disk(spec, spec.disks[number].volume, image, evolve(content, most=2 * 65536))
    host.driver.decompose(spec.ref, tuple((disk.pool_id, disk.volume) for disk in spec.disks))
    assert host.volumes() == before
