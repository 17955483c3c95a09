"""Contract of ownership: a marker is an installation and a machine, and both must match."""

from __future__ import annotations

from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import NameTaken, NotFound
from common.guests.guest_spec import GuestSpec
from common.values import Guest, OwnershipMarker, PowerAction
from tests.contract.support.driver_fixtures import EVERY_HOST, INSTALLATION, DriverFixture, spec_for
from tests.contract.support.guest_samples import volumes_of

pytestmark = EVERY_HOST
GRACE_S = 0.5


def theirs(host: DriverFixture, name: str) -> tuple[GuestSpec, Guest]:
    """A guest that another installation composed, as discovery lists it, and its spec."""
    spec = spec_for(host, name, disks=2, installation_id=uuid4())
    host.driver.compose(spec)
    return spec, listed(host, spec)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == spec.name]
    return found


def our_marker(spec: GuestSpec) -> OwnershipMarker:
    """Our marker for a machine with the same id."""
    return evolve(spec.marker, installation_id=INSTALLATION)


def test_discovery_never_shows_a_guest_of_another_installation_as_ours(host: DriverFixture) -> None:
    """libvirt's lists no marker of another installation, the others theirs."""
    spec, guest = theirs(host, "theirs")
    own = spec_for(host, "ours")
    host.driver.compose(own)
    assert guest.marker in {None, spec.marker}
    assert listed(host, own).marker == own.marker


def test_guests_of_another_installation_are_never_changed(host: DriverFixture) -> None:
    spec, before = theirs(host, "theirs")
    volumes, ours = host.volumes(), evolve(spec.ref, marker=our_marker(spec))
    assert host.driver.find(ours) is None
    with pytest.raises(NotFound):
        host.driver.power(ours, PowerAction.ON, grace_s=GRACE_S)
    host.driver.decompose(ours, volumes_of(spec))
    host.driver.disown(before.guest_id, before.name, ours.marker)
    assert listed(host, spec) == before
    assert host.volumes() == volumes


def test_composing_never_replaces_a_guest_of_another_installation(host: DriverFixture) -> None:
    spec, before = theirs(host, "taken")
    volumes = host.volumes()
    with pytest.raises(NameTaken, match=spec.name):
        host.driver.compose(spec_for(host, "taken", disks=2))
    assert listed(host, spec) == before
    assert host.volumes() == volumes


@pytest.mark.clusters
def test_decomposing_leaves_volumes_of_other_machines(host: DriverFixture) -> None:
    """Also those of another installation, even if they are named in the call."""
    others = [spec_for(host, "ours", disks=2), spec_for(host, "theirs", disks=2, installation_id=uuid4())]
    for other in others:
        host.make_volume(other, other.disks[1])
    before = host.volumes()
    spec = spec_for(host, "deleted", disks=2)
    host.driver.compose(spec)
    host.driver.decompose(spec.ref, volumes_of(spec) + tuple(pair for other in others for pair in volumes_of(other)))
    assert host.volumes() == before
    for other in others:
        host.driver.decompose(other.ref, volumes_of(other))


def test_decomposing_leaves_a_foreign_volume_of_any_name(host: DriverFixture) -> None:
    before = host.volumes()
    first, second = spec_for(host, "first"), spec_for(host, "second")
    host.driver.compose(first)
    attached = host.attach_new_volume(first.ref)
    host.driver.decompose(first.ref, volumes_of(first))
    host.driver.compose(second)
    host.driver.decompose(second.ref, (*volumes_of(second), attached))
    assert host.volumes() - before == {attached}
