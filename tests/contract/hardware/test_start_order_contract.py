"""When a guest starts with its host, among the others that do."""

from __future__ import annotations

import pytest

from common.boot import StartOrder
from common.errors import NotFound, Unsupported
from common.guests.guest_spec import GuestSpec
from common.values import Autostart, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, FIXTURES, DriverFixture, spec_for

LATE, EARLY = StartOrder(delay_s=30), StartOrder(priority=10, delay_s=5)
HAS_ORDER = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if not str(one.id).startswith("libvirt")], indirect=True
)
HAS_NO_ORDER = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if str(one.id).startswith("libvirt")], indirect=True
)


def listed(host: DriverFixture, spec: GuestSpec) -> StartOrder | None:
    guest = next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.start_order == guest.start_order
    return guest.start_order


@HAS_ORDER
@pytest.mark.clusters
@pytest.mark.parametrize("on", [False, True])
def test_the_order_of_a_guest_is_set(host: DriverFixture, *, on: bool) -> None:
    spec = spec_for(host, "start")
    host.driver.compose(spec)
    assert listed(host, spec) == StartOrder()
    if on:
        host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    for order in (LATE, EARLY, EARLY, StartOrder(), EARLY):
        assert host.driver.set_start_order(spec.ref, order) == order
        assert listed(host, spec) == order
    host.driver.set_autostart(spec.ref, Autostart.ALWAYS)
    assert listed(host, spec) == EARLY
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.power is (PowerState.ON if on else PowerState.OFF)


@HAS_NO_ORDER
def test_a_hypervisor_without_an_order_says_so(host: DriverFixture) -> None:
    spec = spec_for(host, "start")
    host.driver.compose(spec)
    with pytest.raises(Unsupported, match="in no order"):
        host.driver.set_start_order(spec.ref, EARLY)
    assert listed(host, spec) is None


@EVERY_HOST
def test_only_the_guest_with_the_marker_has_an_order(host: DriverFixture) -> None:
    with pytest.raises(NotFound):
        host.driver.set_start_order(spec_for(host, "start").ref, EARLY)
