"""Disks of guests on a real LXD: what QEMU has, what is in the files, and what LXD refuses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.disks.device_names import lxd_device_name, lxd_serial
from common.disks.volume_names import volume_name
from common.errors import OutOfCapacity, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize
from common.values import Guest, GuestRef, PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.support.guest_samples import DISK_BYTES, volumes_of
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import require, why_no_lxd_pool
from tests.lab.support.key_pair import KeyPair
from tests.lab.support.lxd_specs import small_spec

PROJECT = "ikdisks"
GRACE_S = 0.1
GROWN_BYTES = 2 * DISK_BYTES


@pytest.fixture(params=["dir", "btrfs"])
def pool(request: pytest.FixtureRequest, lxd: LxdServer) -> Iterator[str]:
    """A pool where disks are files that the test can read."""
    require(why_no_lxd_pool(request.param))
    with lxd.pool(request.param, size_mib=1024) as name:
        yield name


def disk_of(spec: GuestSpec, index: int = 1) -> DiskSpec:
    return DiskSpec(
        volume=volume_name(spec.marker, index),
        pool_id=spec.disks[0].pool_id,
        size_bytes=DISK_BYTES,
        serial=lxd_serial(lxd_device_name(index)),
    )


def size(disk: DiskSpec, size_bytes: int = GROWN_BYTES) -> DiskSize:
    return DiskSize(pool_id=disk.pool_id, volume=disk.volume, size_bytes=size_bytes)


def started(driver: LxdDriver, name: str, pool: str, *, disks: int = 1) -> GuestSpec:
    spec = small_spec(name, (pool,) * disks)
    driver.compose(spec)
    switch(driver, spec, PowerAction.ON)
    return spec


def switch(driver: LxdDriver, spec: GuestSpec, action: PowerAction, *sizes: DiskSize) -> None:
    driver.power(spec.ref, action, grace_s=GRACE_S, disk_sizes=sizes)


def found(driver: LxdDriver, ref: GuestRef) -> Guest:
    guest = driver.find(ref)
    assert guest is not None
    return guest


def file_of(lxd: LxdServer, spec: GuestSpec, disk: DiskSpec) -> Path:
    root, other = lxd.volume_files(disk.pool_id, spec.name, disk.volume)
    return root if disk == spec.disks[0] else other


def filled(file: Path) -> str:
    """Writes random content to the whole disk. Returns its hash."""
    content = os.urandom(DISK_BYTES)
    with file.open("r+b") as stream:
        stream.write(content)
    return hashlib.sha256(content).hexdigest()


def digest(file: Path) -> str:
    """Of the part that the disk had from the beginning."""
    with file.open("rb") as stream:
        return hashlib.sha256(stream.read(DISK_BYTES)).hexdigest()


def is_open(lxd: LxdServer, spec: GuestSpec, file: Path) -> bool:
    """Returns whether the guest's QEMU has the file open."""
    links = (lxd.process_of(spec.name) / "fd").iterdir()
    return any(link.exists() and link.samefile(file) for link in links)


def test_the_qemu_of_a_running_guest_gets_a_disk_and_loses_it(
    lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str
) -> None:
    spec = started(driver, f"{prefix}live", pool)
    disk = disk_of(spec)
    assert driver.attach_disk(spec.ref, disk, 1, create=True) is PowerState.ON
    file = file_of(lxd, spec, disk)
    assert (file.stat().st_size, is_open(lxd, spec, file)) == (DISK_BYTES, True)
    assert f'serial = "{disk.serial}"' in lxd.devices_of(spec.name)
    assert driver.detach_disk(spec.ref, disk.pool_id, disk.volume) is PowerState.ON
    assert (file.stat().st_size, is_open(lxd, spec, file)) == (DISK_BYTES, False)
    assert f'serial = "{disk.serial}"' not in lxd.devices_of(spec.name)
    driver.decompose(spec.ref, (*volumes_of(spec), (disk.pool_id, disk.volume)))
    assert not file.exists()


def test_a_disk_has_the_same_bytes_in_another_guest(lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str) -> None:
    first = started(driver, f"{prefix}first", pool, disks=2)
    second = started(driver, f"{prefix}second", pool)
    moved = first.disks[1]
    file = file_of(lxd, first, moved)
    written = filled(file)
    driver.detach_disk(first.ref, moved.pool_id, moved.volume)
    assert (digest(file), is_open(lxd, first, file)) == (written, False)
    driver.attach_disk(second.ref, moved, 1, create=False)
    assert (digest(file), is_open(lxd, second, file)) == (written, True)
    driver.decompose(first.ref, volumes_of(first))
    switch(driver, second, PowerAction.CYCLE, size(moved))
    assert (digest(file), is_open(lxd, second, file)) == (written, True)
    assert file.stat().st_size >= GROWN_BYTES
    driver.decompose(second.ref, volumes_of(second))
    assert digest(file) == written


@pytest.mark.parametrize("index", [0, 1], ids=["root", "other"])
def test_a_running_guests_disk_grows_at_its_next_start(
    lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str, index: int
) -> None:
    spec = started(driver, f"{prefix}grows", pool, disks=2)
    disk = spec.disks[index]
    file = file_of(lxd, spec, disk)
    written = filled(file)
    assert driver.grow_disk(spec.ref, size(disk)).size_bytes == DISK_BYTES
    assert file.stat().st_size == DISK_BYTES
    assert [one.size_bytes for one in found(driver, spec.ref).disks] == [DISK_BYTES, DISK_BYTES]
    switch(driver, spec, PowerAction.CYCLE)
    assert file.stat().st_size == DISK_BYTES
    switch(driver, spec, PowerAction.CYCLE, size(disk))
    assert GROWN_BYTES <= file.stat().st_size < GROWN_BYTES + 1024 * 1024
    assert digest(file) == written
    assert [one.size_bytes for one in found(driver, spec.ref).disks][index] == GROWN_BYTES
    switch(driver, spec, PowerAction.FORCE_OFF)
    assert driver.grow_disk(spec.ref, size(disk, 3 * DISK_BYTES)).size_bytes == 3 * DISK_BYTES
    assert file.stat().st_size >= 3 * DISK_BYTES
    assert digest(file) == written
    driver.decompose(spec.ref, volumes_of(spec))


def test_what_lxd_cannot_open_is_attached_to_no_running_guest(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    spec = started(driver, f"{prefix}refused", "default", disks=2)
    lost = spec.disks[1]
    driver.detach_disk(spec.ref, lost.pool_id, lost.volume)
    file = file_of(lxd, spec, lost)
    kept = file.rename(file.with_name("kept.img"))
    file.mkdir()
    with pytest.raises(WrongState, match=rf"Cannot attach directory.*It can be attached while {spec.name} is off\."):
        driver.attach_disk(spec.ref, lost, 1, create=False)
    assert [disk.volume for disk in found(driver, spec.ref).disks] == [spec.disks[0].volume]
    file.rmdir()
    kept.rename(file)
    assert driver.attach_disk(spec.ref, lost, 1, create=False) is PowerState.ON
    driver.decompose(spec.ref, volumes_of(spec))


def test_a_limit_of_the_project_refuses_a_disk(lxd: LxdServer, trusted: KeyPair) -> None:
    driver = LxdDriverFactory().open(lxd.access(trusted, project=PROJECT))
    driver.make_project("Made by a test")
    lxd.lxc("project", "set", PROJECT, "limits.disk", "300MiB")  # LXD adds 100 MiB for the state of a VM
    spec = small_spec("limited")
    try:
        driver.compose(spec)
        disk = evolve(disk_of(spec), size_bytes=4 * DISK_BYTES)
        with pytest.raises(OutOfCapacity, match=r"Reached maximum aggregate value .* in project .ikdisks."):
            driver.attach_disk(spec.ref, disk, 1, create=True)
        with pytest.raises(OutOfCapacity, match=r"Reached maximum aggregate value .* in project .ikdisks."):
            driver.grow_disk(spec.ref, size(spec.disks[0], 4 * DISK_BYTES))
        assert [one.size_bytes for one in found(driver, spec.ref).disks] == [DISK_BYTES]
        assert driver.attach_disk(spec.ref, disk_of(spec), 1, create=True) is PowerState.OFF
    finally:
        driver.decompose(spec.ref, volumes_of(evolve(spec, disks=(*spec.disks, disk_of(spec)))))
        driver.close()
        lxd.lxc("project", "delete", PROJECT)


@pytest.mark.parametrize("separate", ["true", "false"], ids=["own-volumes", "volumes-of-default"])
def test_disks_of_a_project_are_where_it_has_its_volumes(lxd: LxdServer, trusted: KeyPair, separate: str) -> None:
    options = ("-c", "features.profiles=false", "-c", "features.images=false")
    lxd.lxc("project", "create", PROJECT, "-c", f"features.storage.volumes={separate}", *options)
    driver = LxdDriverFactory().open(lxd.access(trusted, project=PROJECT))
    spec = small_spec("placed")
    disk = disk_of(spec)
    try:
        driver.compose(spec)
        for _ in range(2):
            driver.attach_disk(spec.ref, disk, 1, create=True)
        own = PROJECT if separate == "true" else "default"
        listed = lxd.ask(f"/1.0/storage-pools/default/volumes?recursion=1&project={own}")
        assert [one["project"] for one in listed if one["name"] == disk.volume] == [own]
        assert driver.grow_disk(spec.ref, size(disk)).size_bytes == GROWN_BYTES
        assert driver.detach_disk(spec.ref, disk.pool_id, disk.volume) is PowerState.OFF
        assert driver.attach_disk(spec.ref, disk, 1, create=False) is PowerState.OFF
        assert [one.size_bytes for one in found(driver, spec.ref).disks] == [DISK_BYTES, GROWN_BYTES]
    finally:
        driver.decompose(spec.ref, (*volumes_of(spec), (disk.pool_id, disk.volume)))
        driver.close()
        lxd.lxc("project", "delete", PROJECT)
