"""The kinds of devices from which a guest boots, in their order: always, or at one start."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.boot import BootDevice, BootOnce, BootOrder
from common.errors import NotFound, WrongState
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, DriverFixture, spec_for

GRACE_S = 0.1
DISK, NETWORK = BootDevice.DISK, BootDevice.NETWORK
DISK_FIRST, NETWORK_FIRST = (DISK, NETWORK), (NETWORK, DISK)
ONCE_DISK = BootOnce(order=(DISK,), key="op-7")

pytestmark = EVERY_HOST  # the members of the lab's cluster have no network


def composed(host: DriverFixture, *, disks: int = 1, on: bool = False) -> GuestSpec:
    spec = spec_for(host, "order", disks=disks)
    host.driver.compose(spec)
    if on:
        switch(host, spec, PowerAction.ON)
    return spec


def switch(host: DriverFixture, spec: GuestSpec, action: PowerAction, once: BootOnce | None = None) -> PowerState:
    return host.driver.power(spec.ref, action, grace_s=GRACE_S, boot_once=once)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it, which agrees with a search for it."""
    guest = next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert (found.boot_order, found.pending_boot_order) == (guest.boot_order, guest.pending_boot_order)
    assert found.booted_once == guest.booted_once
    return guest


def order_of(host: DriverFixture, spec: GuestSpec) -> BootOrder | None:
    """The order of the next start by Innkeeper; None if a running guest does not show it."""
    guest = listed(host, spec)
    return guest.pending_boot_order or guest.boot_order


def test_a_composed_guest_tries_the_network_first(host: DriverFixture) -> None:
    spec = composed(host)
    found = listed(host, spec)
    assert (found.boot_order, found.pending_boot_order, found.booted_once) == (NETWORK_FIRST, (), None)


def test_the_order_of_a_guest_that_is_off_changes_at_once(host: DriverFixture) -> None:
    spec = composed(host, disks=3)
    before = listed(host, spec)
    for named, expected in (((DISK,), DISK_FIRST), ((DISK, NETWORK), DISK_FIRST), ((NETWORK,), NETWORK_FIRST)):
        orders = host.driver.set_boot_order(spec.ref, named)
        assert (orders.order, orders.pending, orders.runs) == (expected, (), False)
        assert order_of(host, spec) == expected
    assert listed(host, spec) == before


def test_a_check_changes_nothing(host: DriverFixture) -> None:
    spec = composed(host)
    assert host.driver.set_boot_order(spec.ref, (DISK,), check_only=True).order == NETWORK_FIRST
    assert order_of(host, spec) == NETWORK_FIRST


def test_the_boot_disk_stays_the_first_of_the_disks(host: DriverFixture) -> None:
    spec = composed(host, disks=3)
    disk = spec.disks[2]
    host.driver.set_boot_disk(spec.ref, disk.pool_id, disk.volume)
    chosen = listed(host, spec).boot_device
    for order in ((DISK,), (NETWORK,), (DISK,)):
        host.driver.set_boot_order(spec.ref, order)
        assert listed(host, spec).boot_device == chosen
    host.driver.set_boot_disk(spec.ref, spec.disks[0].pool_id, spec.disks[0].volume)
    assert order_of(host, spec) == DISK_FIRST


def test_a_running_guest_gets_the_order_at_its_next_start(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    for named, expected in (((DISK,), DISK_FIRST), ((NETWORK,), NETWORK_FIRST), ((DISK,), DISK_FIRST)):
        orders = host.driver.set_boot_order(spec.ref, named)
        assert orders.runs
        assert (orders.pending or orders.order) == expected
        assert host.driver.set_boot_order(spec.ref, named) == orders
        assert order_of(host, spec) in {expected, None}
    assert listed(host, spec).power is PowerState.ON
    switch(host, spec, PowerAction.CYCLE)
    switch(host, spec, PowerAction.FORCE_OFF)
    found = listed(host, spec)
    assert (found.boot_order, found.pending_boot_order) == (DISK_FIRST, ())


def test_an_order_that_was_pending_comes_when_the_guest_is_forced_off(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    host.driver.set_boot_order(spec.ref, (DISK,))
    switch(host, spec, PowerAction.FORCE_OFF)
    found = listed(host, spec)
    assert (found.boot_order, found.pending_boot_order) == (DISK_FIRST, ())


@pytest.mark.parametrize("action", [PowerAction.ON, PowerAction.CYCLE])
def test_a_guest_starts_once_in_another_order(host: DriverFixture, action: PowerAction) -> None:
    spec = composed(host, disks=2, on=action is PowerAction.CYCLE)
    assert switch(host, spec, action, ONCE_DISK) is PowerState.ON
    found = listed(host, spec)
    assert (found.booted_once, found.power) == (ONCE_DISK.key, PowerState.ON)
    assert order_of(host, spec) in {NETWORK_FIRST, None}
    switch(host, spec, PowerAction.FORCE_OFF)
    found = listed(host, spec)
    assert (found.boot_order, found.booted_once) == (NETWORK_FIRST, None)
    switch(host, spec, PowerAction.ON)
    assert listed(host, spec).booted_once is None


def test_a_start_in_another_order_can_be_repeated(host: DriverFixture) -> None:
    spec = composed(host)
    for _ in range(2):
        assert switch(host, spec, PowerAction.ON, ONCE_DISK) is PowerState.ON
        assert listed(host, spec).booted_once == ONCE_DISK.key
    for key in ("op-7", "op-8"):
        switch(host, spec, PowerAction.CYCLE, evolve(ONCE_DISK, key=key))
        assert listed(host, spec).booted_once == key
    switch(host, spec, PowerAction.CYCLE)
    assert listed(host, spec).booted_once is None
    switch(host, spec, PowerAction.FORCE_OFF)
    assert order_of(host, spec) == NETWORK_FIRST


def test_a_guest_that_keeps_running_is_not_booted_once(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    assert switch(host, spec, PowerAction.ON, ONCE_DISK) is PowerState.ON
    assert listed(host, spec).booted_once is None


def test_an_order_set_during_a_start_in_another_order_stays(host: DriverFixture) -> None:
    spec = composed(host)
    host.driver.set_boot_order(spec.ref, (DISK,))
    switch(host, spec, PowerAction.ON, BootOnce(order=(NETWORK,), key="op-9"))
    host.driver.set_boot_order(spec.ref, (NETWORK,))
    assert listed(host, spec).booted_once == "op-9"
    switch(host, spec, PowerAction.FORCE_OFF)
    assert order_of(host, spec) == NETWORK_FIRST


def test_an_emptied_guest_tries_the_network_first_again(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    host.driver.set_boot_order(spec.ref, (DISK,))
    host.driver.undeploy(spec)
    assert order_of(host, spec) == NETWORK_FIRST


@pytest.mark.clusters
def test_a_guest_without_a_nic_does_not_boot_from_the_network(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "order"), nics=())
    with pytest.raises(NotFound):
        host.driver.set_boot_order(spec.ref, (DISK,))
    host.driver.compose(spec)
    for check_only in (True, False):
        with pytest.raises(WrongState, match="no NIC that can boot"):
            host.driver.set_boot_order(spec.ref, (NETWORK, DISK), check_only=check_only)
    assert switch(host, spec, PowerAction.ON, BootOnce(order=(NETWORK,), key="op-1")) is PowerState.ON
    assert listed(host, spec).booted_once is None
    switch(host, spec, PowerAction.FORCE_OFF)
    assert order_of(host, spec) == (DISK,)
