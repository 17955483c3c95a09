"""Contract of disks: discovery reports what a guest has now, whatever it was composed with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from common.guests.guest_spec import GuestSpec
from common.values import Guest, GuestDisk, PowerAction
from tests.contract.support.driver_fixtures import EVERY_HOST, Capability, DriverFixture, requires, spec_for
from tests.contract.support.guest_samples import DISK_BYTES

if TYPE_CHECKING:
    from tests.contract.support.driver_fixtures import CapableFixture


def disks_of(host: DriverFixture, spec: GuestSpec) -> Mapping[str, GuestDisk]:
    """Returns the disks that a discovery run reports, by volume."""
    return {disk.volume or "": disk for disk in listed(host, spec).disks}


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    found = host.driver.discover()
    assert spec.name not in {problem.subject for problem in found.problems}
    (guest,) = [guest for guest in found.guests if guest.name == spec.name]
    return guest


@EVERY_HOST
@pytest.mark.clusters
def test_a_disk_that_grew_has_its_new_size(host: DriverFixture) -> None:
    spec = spec_for(host, "grown", disks=2)
    host.driver.compose(spec)
    for times, disk in enumerate(spec.disks, start=2):
        host.grow(spec, disk, times * DISK_BYTES)
    found = disks_of(host, spec)
    assert [found[disk.volume].size_bytes for disk in spec.disks] == [2 * DISK_BYTES, 3 * DISK_BYTES]
    assert not any(disk.missing for disk in found.values())


@EVERY_HOST
@pytest.mark.clusters
def test_a_disk_that_was_attached_is_listed(host: DriverFixture) -> None:
    spec = spec_for(host, "attached")
    host.driver.compose(spec)
    pool_id, volume = host.attach_new_volume(spec.ref)
    found = disks_of(host, spec)
    assert set(found) == {spec.disks[0].volume, volume}
    assert (found[volume].pool_id, found[volume].size_bytes) == (pool_id, DISK_BYTES)


@requires(Capability.VOLUME_LOSS)
def test_a_disk_whose_volume_was_deleted_is_missing(host: CapableFixture) -> None:
    spec = spec_for(host, "lost", disks=2)
    host.driver.compose(spec)
    host.delete_volume(spec.disks[1])
    assert {volume: disk.missing for volume, disk in disks_of(host, spec).items()} == {
        spec.disks[0].volume: False,
        spec.disks[1].volume: True,
    }
    lost = disks_of(host, spec)[spec.disks[1].volume]
    assert (lost.pool_id, lost.size_bytes) == (host.pool_id, 0)


@requires(Capability.VOLUME_LOSS)
def test_a_deleted_root_volume_is_missing_and_stays_ours(host: CapableFixture) -> None:
    spec = spec_for(host, "rootless")
    host.driver.compose(spec)
    host.delete_volume(spec.disks[0])
    guest = listed(host, spec)
    assert (guest.marker, [disk.missing for disk in guest.disks]) == (spec.marker, [True])


@requires(Capability.VOLUME_LOSS)
def test_a_running_guest_without_its_volume_shows_that(host: CapableFixture) -> None:
    spec = spec_for(host, "running", disks=2)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.5)
    host.delete_volume(spec.disks[1])
    assert disks_of(host, spec)[spec.disks[1].volume].missing
