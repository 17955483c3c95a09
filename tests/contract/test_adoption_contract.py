"""Contract of adoption: the driver adds and removes the marker and changes nothing else."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import NameTaken, NotFound
from common.values import Guest, GuestRef, OwnershipMarker, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, INSTALLATION, DriverFixture, spec_for

GRACE_S = 0.5

pytestmark = EVERY_HOST


def foreign_guest(host: DriverFixture, name: str = "foreign") -> Guest:
    """A foreign guest, as discovery lists it."""
    host.make_foreign(f"{host.prefix}{name}")
    return listed(host, f"{host.prefix}{name}")


def listed(host: DriverFixture, name: str) -> Guest:
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == name]
    return found


def marker_for(guest: Guest) -> OwnershipMarker:
    """The machine id is the guest's id if that is a UUID, as libvirt requires."""
    try:
        machine_id = UUID(guest.guest_id)
    except ValueError:
        machine_id = uuid4()
    return OwnershipMarker(installation_id=INSTALLATION, machine_id=machine_id)


def adopt(host: DriverFixture, guest: Guest, marker: OwnershipMarker | None = None) -> Guest:
    return host.driver.adopt(guest.guest_id, guest.name, marker or marker_for(guest))


def bare(guest: Guest) -> Guest:
    """The fields that discovery and `find` both report, without the marker and the generation."""
    disks = tuple(evolve(disk, serial=None) for disk in guest.disks)
    return evolve(guest, marker=None, disks=disks, nics=(), architecture="", pinned_core_ids=(), generation=None)


@pytest.mark.clusters
def test_adoption_only_adds_the_marker(host: DriverFixture) -> None:
    before, volumes = foreign_guest(host), host.volumes()
    adopted = adopt(host, before)
    assert (adopted.marker, adopted.generation) == (marker_for(before), 0)
    assert bare(adopted) == bare(before)
    assert bare(listed(host, before.name)) == bare(before)
    assert host.volumes() == volumes
    assert host.driver.find(GuestRef(name=before.name, marker=marker_for(before))) == adopted


def test_adoption_and_disowning_leave_a_guest_running(host: DriverFixture) -> None:
    found = foreign_guest(host)
    host.start(found.name)
    assert adopt(host, found).power is PowerState.ON
    host.driver.disown(found.guest_id, found.name, marker_for(found))
    assert listed(host, found.name).power is PowerState.ON


def test_adoption_is_idempotent(host: DriverFixture) -> None:
    found = foreign_guest(host)
    assert adopt(host, found) == adopt(host, found)


def test_adoption_identifies_the_guest_by_id(host: DriverFixture) -> None:
    found = foreign_guest(host)
    adopted = host.driver.adopt(found.guest_id, f"{host.prefix}other", marker_for(found))
    assert adopted.name == found.name


def test_deleted_guests_cannot_be_adopted(host: DriverFixture) -> None:
    with pytest.raises(NotFound):
        host.driver.adopt(
            str(uuid4()),
            f"{host.prefix}missing",
            OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4()),
        )


def test_adoption_rejects_another_marker(host: DriverFixture) -> None:
    found = foreign_guest(host)
    first = adopt(host, found)
    other_marker = evolve(marker_for(found), installation_id=uuid4())
    with pytest.raises(NameTaken, match=found.name):
        adopt(host, found, other_marker)
    host.driver.disown(found.guest_id, found.name, other_marker)
    assert host.driver.find(GuestRef(name=found.name, marker=marker_for(found))) == first


def test_adopted_guests_work_like_composed_ones(host: DriverFixture) -> None:
    found = foreign_guest(host)
    ref = GuestRef(name="the-machine", marker=marker_for(found))
    adopt(host, found)
    assert host.driver.power(ref, PowerAction.ON, grace_s=GRACE_S) is PowerState.ON
    assert host.driver.power(ref, PowerAction.FORCE_OFF, grace_s=GRACE_S) is PowerState.OFF


def test_disowned_guests_are_foreign(host: DriverFixture) -> None:
    before = foreign_guest(host)
    adopt(host, before)
    for _ in range(2):
        host.driver.disown(before.guest_id, before.name, marker_for(before))
        ref = GuestRef(name=before.name, marker=marker_for(before))
        assert listed(host, before.name) == before
        assert host.driver.find(ref) is None
        with pytest.raises(NotFound):
            host.driver.power(ref, PowerAction.ON, grace_s=GRACE_S)
    host.driver.decompose(GuestRef(name=before.name, marker=marker_for(before)))
    assert listed(host, before.name) == before


def test_disowning_a_deleted_guest_succeeds(host: DriverFixture) -> None:
    host.driver.disown(
        str(uuid4()), f"{host.prefix}missing", OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())
    )


@pytest.mark.clusters
def test_exact_disowning_changes_only_that_guest(host: DriverFixture) -> None:
    found = foreign_guest(host)
    adopted = adopt(host, found)
    marker, other_name = marker_for(found), f"{host.prefix}missing"
    for guest_id, name, given_marker in (
        (found.guest_id, other_name, marker),
        (str(uuid4()), found.name, marker),
        (found.guest_id, found.name, evolve(marker, installation_id=uuid4())),
    ):
        with pytest.raises(NotFound, match=name):
            host.driver.disown(guest_id, name, given_marker, exactly=True)
    assert host.driver.find(GuestRef(name=found.name, marker=marker)) == adopted
    for _ in range(2):  # a retry after a lost response
        host.driver.disown(found.guest_id, found.name, marker, exactly=True)
        assert listed(host, found.name) == found


def test_composed_guests_can_be_disowned_and_adopted(host: DriverFixture) -> None:
    spec = spec_for(host, "composed")
    composed = host.driver.compose(spec)
    assert listed(host, composed.name).marker == spec.marker
    host.driver.disown(composed.guest_id, composed.name, spec.marker)
    assert host.driver.find(spec.ref) is None
    assert listed(host, composed.name).marker is None  # although its disks are named after the marker
    assert host.driver.adopt(composed.guest_id, composed.name, spec.marker) == composed


def test_decomposing_an_adopted_guest_leaves_its_volumes(host: DriverFixture) -> None:
    found = foreign_guest(host)
    adopt(host, found)
    before = host.volumes()
    disks = tuple((disk.pool_id, disk.volume) for disk in found.disks if disk.pool_id and disk.volume)
    assert set(disks) <= before
    host.driver.decompose(GuestRef(name=found.name, marker=marker_for(found)), disks)
    assert found.name not in {guest.name for guest in host.driver.discover().guests}
    assert host.volumes() == before
