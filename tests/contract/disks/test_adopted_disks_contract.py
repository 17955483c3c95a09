"""Contract of disks that an administrator attached and a person adopted: their volumes have names without a marker."""

from __future__ import annotations

import pytest

from common.errors import WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize
from common.hosts.discovery import VolumeRef
from common.values import Guest
from tests.contract.disks.test_disk_growth_contract import GROWING_HOST
from tests.contract.support.driver_fixtures import EVERY_HOST, DriverFixture, spec_for


def composed(host: DriverFixture, name: str) -> tuple[GuestSpec, tuple[str, str]]:
    """Returns a guest that is off, and the storage pool and name of its foreign volume."""
    spec = spec_for(host, name)
    host.driver.compose(spec)
    return spec, host.attach_new_volume(spec.ref)


def found(host: DriverFixture, spec: GuestSpec) -> Guest:
    guest = host.driver.find(spec.ref)
    assert guest is not None
    return guest


def places(guest: Guest) -> set[tuple[str | None, str | None]]:
    return {(disk.pool_id, disk.volume) for disk in guest.disks}


@EVERY_HOST
def test_an_attached_volume_is_a_disk_of_the_guest(host: DriverFixture) -> None:
    spec, place = composed(host, "attached")
    assert place in places(found(host, spec))
    (listed,) = [one for one in host.driver.discover().guests if one.name == spec.name]
    assert place in places(listed)
    (size,) = [disk.size_bytes for disk in listed.disks if (disk.pool_id, disk.volume) == place]
    assert size > 0


@GROWING_HOST
def test_an_adopted_disk_grows(host: DriverFixture) -> None:
    spec, (pool_id, volume) = composed(host, "grows")
    (before,) = [disk.size_bytes for disk in found(host, spec).disks if disk.volume == volume]
    wanted = before + 64 * 1024**2
    grown = host.driver.grow_disk(spec.ref, DiskSize(pool_id=pool_id, volume=volume, size_bytes=wanted))
    assert grown.size_bytes >= wanted


@EVERY_HOST
def test_an_adopted_volume_is_detached_attached_and_removed(host: DriverFixture) -> None:
    spec, (pool_id, volume) = composed(host, "removed")
    (disk,) = [disk for disk in found(host, spec).disks if disk.volume == volume]
    refs = [VolumeRef(pool_id=pool_id, name=volume)]
    with pytest.raises(WrongState, match=volume):
        host.driver.remove_volumes(spec.marker, refs, adopted=True)
    host.driver.detach_disk(spec.ref, pool_id, volume)
    again = DiskSpec(
        volume=volume, pool_id=pool_id, size_bytes=disk.size_bytes, serial=host.serial(spec.marker, 1), tags=()
    )
    host.driver.attach_disk(spec.ref, again, 1, create=False)
    assert (pool_id, volume) in places(found(host, spec))
    host.driver.detach_disk(spec.ref, pool_id, volume)
    host.driver.remove_volumes(spec.marker, refs)
    assert (pool_id, volume) in host.volumes(), "without a marker in its name, and not adopted"
    for _ in range(2):
        host.driver.remove_volumes(spec.marker, refs, adopted=True)
        assert (pool_id, volume) not in host.volumes()
    assert found(host, spec).disks


@EVERY_HOST
def test_a_deleted_guest_leaves_its_foreign_volume(host: DriverFixture) -> None:
    spec, place = composed(host, "leaves")
    host.driver.decompose(spec.ref)
    assert place in host.volumes()
    host.driver.remove_volumes(spec.marker, [VolumeRef(pool_id=place[0], name=place[1])], adopted=True)
