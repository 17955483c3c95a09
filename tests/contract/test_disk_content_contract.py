"""The content of disks, read and written in parts while the guest is off."""

from __future__ import annotations

import hashlib
import os

import pytest
from attrs import evolve

from common.boot import BootDevice
from common.disk_content import MAX_PART_BYTES, DiskPart, is_zero
from common.errors import NotFound, Unsupported, WrongState
from common.guest_spec import DiskSpec, GuestSpec
from common.values import PowerAction
from tests.contract.driver_fixtures import CAPABILITIES, FIXTURES, Capability, CapableFixture, DriverFixture, requires
from tests.contract.guest_samples import DISK_BYTES, MIB
from tests.contract.test_disk_changes_contract import composed, listed, switch

HAS_CONTENT = requires(Capability.DISK_CONTENT)
LACKS_CONTENT = pytest.mark.parametrize(
    "host",
    [
        one
        for one in FIXTURES
        if str(one.id).startswith("lxd") and Capability.DISK_CONTENT not in CAPABILITIES[str(one.id)]
    ],
    indirect=True,
)


def parts(host: DriverFixture, spec: GuestSpec, disk: DiskSpec) -> list[DiskPart]:
    """Returns all parts of the disk with data; checks that each follows the one before."""
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
    return found


def content_in(read: list[DiskPart], size_bytes: int) -> str:
    content = bytearray(size_bytes)
    for part in read:
        content[part.offset : part.end] = part.data
    return hashlib.sha256(content).hexdigest()


def write(host: DriverFixture, spec: GuestSpec, disk: DiskSpec, *written: DiskPart) -> None:
    for part in written:
        host.driver.write_disk(spec.ref, disk.pool_id, disk.volume, part)


@HAS_CONTENT
def test_an_empty_disk_has_no_data(host: CapableFixture) -> None:
    spec = composed(host)
    assert all(is_zero(part.data) for part in parts(host, spec, spec.disks[0]))


@HAS_CONTENT
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


@HAS_CONTENT
def test_zeros_are_not_sent(host: CapableFixture) -> None:
    spec = composed(host)
    write(host, spec, spec.disks[0], DiskPart(start=0, offset=DISK_BYTES - 4096, data=b"\1" * 4096))
    read = parts(host, spec, spec.disks[0])
    assert sum(len(part.data) for part in read) <= 2 * MIB
    assert content_in(read, DISK_BYTES) == host.content_of(spec, spec.disks[0])


@HAS_CONTENT
def test_nothing_is_read_after_the_end(host: CapableFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    read = host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, DISK_BYTES)
    assert (read.part, read.size_bytes) == (DiskPart(start=DISK_BYTES, offset=DISK_BYTES), DISK_BYTES)


@HAS_CONTENT
def test_nothing_is_written_after_the_end(host: CapableFixture) -> None:
    spec = composed(host)
    with pytest.raises(WrongState):
        write(host, spec, spec.disks[0], DiskPart(start=DISK_BYTES - 1, offset=DISK_BYTES - 1, data=b"\1\1"))
    assert all(is_zero(part.data) for part in parts(host, spec, spec.disks[0]))


@HAS_CONTENT
def test_a_guest_that_runs_is_neither_read_nor_written(host: CapableFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState):
        host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, 0)
    with pytest.raises(WrongState):
        write(host, spec, disk, DiskPart(start=0, offset=0, data=b"\1"))
    switch(host, spec, PowerAction.FORCE_OFF)


@HAS_CONTENT
def test_only_the_disks_of_the_guest_are_read_and_written(host: CapableFixture) -> None:
    spec, other = composed(host), composed(host, "other")
    foreign = other.disks[0]
    with pytest.raises(NotFound):
        host.driver.read_disk(spec.ref, foreign.pool_id, foreign.volume, 0)
    with pytest.raises(NotFound):
        write(host, spec, foreign, DiskPart(start=0, offset=0, data=b"\1"))


@HAS_CONTENT
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
def test_a_missing_guest_has_no_content(host: CapableFixture) -> None:
    spec = composed(host)
    absent = evolve(spec.ref, marker=evolve(spec.marker, machine_id=spec.marker.installation_id))
    with pytest.raises(NotFound):
        host.driver.read_disk(absent, spec.disks[0].pool_id, spec.disks[0].volume, 0)


@LACKS_CONTENT
def test_lxd_says_that_it_cannot(host: DriverFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    with pytest.raises(Unsupported, match="lxc export"):
        host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, 0)
    with pytest.raises(Unsupported, match="lxc export"):
        write(host, spec, disk, DiskPart(start=0, offset=0, data=b"\1"))
    with pytest.raises(Unsupported, match="lxc export"):
        host.driver.make_bootable(spec)
