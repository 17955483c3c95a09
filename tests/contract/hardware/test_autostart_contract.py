"""What becomes of a guest when its host starts: always on, never, or as it was before the host went down."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotFound
from common.guests.guest_spec import GuestSpec
from common.values import Autostart, Guest, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, DriverFixture, spec_for

GRACE_S = 0.1
EVERY = list(Autostart)

pytestmark = EVERY_HOST


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it."""
    return next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)


def is_in_effect(host: DriverFixture, spec: GuestSpec, wanted: Autostart) -> bool:
    guest = listed(host, spec)
    assert guest.autostart is not None
    return bool(wanted.is_in_effect(guest.autostart, guest.power))


@pytest.mark.parametrize("autostart", EVERY)
def test_a_composed_guest_starts_with_its_host_as_asked(host: DriverFixture, autostart: Autostart) -> None:
    spec = evolve(spec_for(host, "autostart"), autostart=autostart)
    guest = host.driver.compose(spec)
    assert guest.autostart is not None
    assert autostart.is_in_effect(guest.autostart, PowerState.OFF)
    assert host.driver.compose(spec) == guest
    assert is_in_effect(host, spec, autostart)


@pytest.mark.parametrize("autostart", EVERY)
def test_autostart_is_in_effect_after_each_power_action(host: DriverFixture, autostart: Autostart) -> None:
    spec = evolve(spec_for(host, "autostart"), autostart=autostart)
    host.driver.compose(spec)
    for action, power in ((PowerAction.ON, PowerState.ON), (PowerAction.FORCE_OFF, PowerState.OFF)):
        assert host.driver.power(spec.ref, action, grace_s=GRACE_S, autostart=autostart) is power
        assert is_in_effect(host, spec, autostart)


def test_a_power_action_without_autostart_leaves_it(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "autostart"), autostart=Autostart.NEVER)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert listed(host, spec).autostart is Autostart.NEVER


def test_autostart_is_changed_for_running_guests_too(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "autostart"), autostart=Autostart.LAST_STATE)
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S, autostart=Autostart.LAST_STATE)
    for autostart in (*EVERY, *reversed(EVERY)):
        for _ in range(2):
            reported = host.driver.set_autostart(spec.ref, autostart)
        assert listed(host, spec).autostart is reported
        assert is_in_effect(host, spec, autostart)
        assert listed(host, spec).power is PowerState.ON


def test_autostart_of_a_missing_guest_is_not_found(host: DriverFixture) -> None:
    with pytest.raises(NotFound):
        host.driver.set_autostart(spec_for(host, "missing").ref, Autostart.ALWAYS)
