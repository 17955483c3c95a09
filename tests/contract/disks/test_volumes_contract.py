"""Contract of orphaned volumes: discovery lists them, and removal spares all others."""

from __future__ import annotations

from uuid import uuid4

import pytest

from common.errors import WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from tests.contract.support.driver_fixtures import EVERY_HOST, INSTALLATION, DriverFixture, spec_for

OTHER_MARKER = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())

pytestmark = [EVERY_HOST, pytest.mark.clusters]


def make_orphan(host: DriverFixture, name: str) -> tuple[GuestSpec, DiskSpec]:
    """Creates the second disk of a guest, a separate volume on every host, without the guest."""
    spec = spec_for(host, name, disks=2)
    host.make_volume(spec, spec.disks[1])
    return spec, spec.disks[1]


def orphaned(host: DriverFixture, marker: OwnershipMarker) -> list[tuple[str, str]]:
    found = host.driver.discover()
    assert host.pool_id in found.inspected_pools
    return [(one.pool_id, one.name) for one in found.orphaned_volumes if one.marker == marker]


def refs(*disks: DiskSpec) -> list[VolumeRef]:
    return [VolumeRef(pool_id=disk.pool_id, name=disk.volume) for disk in disks]


def test_orphaned_volumes_are_listed_with_their_marker(host: DriverFixture) -> None:
    spec, disk = make_orphan(host, "orphan")
    assert orphaned(host, spec.marker) == [(disk.pool_id, disk.volume)]
    (found,) = [one for one in host.driver.discover().orphaned_volumes if one.marker == spec.marker]
    assert found.size_bytes in {None, disk.size_bytes}
    host.driver.remove_volumes(spec.marker, refs(disk))


def test_volumes_of_guests_are_not_orphaned(host: DriverFixture) -> None:
    spec = spec_for(host, "attached", disks=2)
    host.driver.compose(spec)
    assert orphaned(host, spec.marker) == []


def test_removing_an_orphaned_volume_is_idempotent(host: DriverFixture) -> None:
    before = host.volumes()
    spec, disk = make_orphan(host, "removed")
    for _ in range(2):
        host.driver.remove_volumes(spec.marker, refs(disk))
        assert host.volumes() == before
    assert orphaned(host, spec.marker) == []


def test_volumes_of_a_guest_are_not_removed(host: DriverFixture) -> None:
    spec = spec_for(host, "attached", disks=2)
    host.driver.compose(spec)
    before = host.volumes()
    with pytest.raises(WrongState, match=spec.disks[1].volume):
        host.driver.remove_volumes(spec.marker, refs(spec.disks[1]))
    assert host.driver.find(spec.ref) is not None
    assert host.volumes() == before


def test_only_volumes_of_the_marker_are_removed(host: DriverFixture) -> None:
    spec, disk = make_orphan(host, "other")
    host.make_foreign(f"{host.prefix}foreign")
    before = host.volumes()
    named = [VolumeRef(pool_id=pool_id, name=name) for pool_id, name in before]
    host.driver.remove_volumes(OTHER_MARKER, named)
    assert host.volumes() == before
    host.driver.remove_volumes(OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4()), refs(disk))
    assert host.volumes() == before
    host.driver.remove_volumes(spec.marker, refs(disk))


def test_removing_from_a_missing_pool_succeeds(host: DriverFixture) -> None:
    spec, disk = make_orphan(host, "nopool")
    missing = VolumeRef(pool_id="3b2a1c00-0000-4000-8000-00000000dead", name=disk.volume)
    host.driver.remove_volumes(spec.marker, [missing, *refs(disk)])
    assert orphaned(host, spec.marker) == []
