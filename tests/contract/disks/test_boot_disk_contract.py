"""The disk from which a guest boots first at its next start."""

from __future__ import annotations

import pytest

from common.errors import NotFound
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, DriverFixture, spec_for

GRACE_S = 0.1

pytestmark = [EVERY_HOST, pytest.mark.clusters]


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it."""
    return next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)


def boot_volume(host: DriverFixture, spec: GuestSpec) -> str | None:
    """The volume of the boot disk, by a discovery run; None if that does not show it."""
    guest = listed(host, spec)
    return next((disk.volume for disk in guest.disks if disk.device == guest.boot_device), None)


def choose(host: DriverFixture, spec: GuestSpec, index: int) -> PowerState:
    disk = spec.disks[index]
    return host.driver.set_boot_disk(spec.ref, disk.pool_id, disk.volume)


def test_a_composed_guest_boots_from_its_first_disk(host: DriverFixture) -> None:
    spec = spec_for(host, "boot", disks=3)
    guest = host.driver.compose(spec)
    assert guest.boot_device is not None
    assert boot_volume(host, spec) == spec.disks[0].volume


def test_each_disk_can_be_made_the_boot_disk_and_back(host: DriverFixture) -> None:
    spec = spec_for(host, "boot", disks=3)
    before = host.driver.compose(spec)
    for index in (2, 1, 1, 0, 2, 0):
        assert choose(host, spec, index) is PowerState.OFF
        assert boot_volume(host, spec) == spec.disks[index].volume
    guest = listed(host, spec)
    assert (guest.disks, guest.nics, guest.marker) == (before.disks, before.nics, before.marker)


def test_a_running_guest_gets_its_boot_disk_at_its_next_start(host: DriverFixture) -> None:
    spec = spec_for(host, "boot", disks=2)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    for index in (1, 0, 1):
        assert choose(host, spec, index) is PowerState.ON
    assert boot_volume(host, spec) in {spec.disks[1].volume, None}
    assert listed(host, spec).power is PowerState.ON
    host.driver.power(spec.ref, PowerAction.CYCLE, grace_s=GRACE_S)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    assert boot_volume(host, spec) == spec.disks[1].volume


def test_a_choice_for_a_running_guest_stays_when_it_is_forced_off(host: DriverFixture) -> None:
    spec = spec_for(host, "boot", disks=2)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    choose(host, spec, 1)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    assert boot_volume(host, spec) == spec.disks[1].volume


def test_an_emptied_guest_boots_from_its_root_disk_again(host: DriverFixture) -> None:
    spec = spec_for(host, "boot", disks=2)
    host.driver.compose(spec)
    choose(host, spec, 1)
    host.driver.undeploy(spec)
    assert boot_volume(host, spec) == spec.disks[0].volume


def test_a_boot_disk_that_the_guest_lacks_is_not_found(host: DriverFixture) -> None:
    spec = spec_for(host, "boot")
    with pytest.raises(NotFound):
        choose(host, spec, 0)
    host.driver.compose(spec)
    with pytest.raises(NotFound, match="no disk other any more"):
        host.driver.set_boot_disk(spec.ref, host.pool_id, "other")
    assert boot_volume(host, spec) == spec.disks[0].volume
