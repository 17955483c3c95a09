"""NICs that a guest gets and loses: at once, also while it runs, with the address that the host reserves for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from attrs import evolve

from common.errors import NotFound, WrongState
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import Guest, GuestNic, GuestRef, NicKind, PowerAction, PowerState
from tests.contract.support.driver_fixtures import (
    FIXTURES,
    INSTALLATION,
    Capability,
    CapableFixture,
    DriverFixture,
    requires,
    spec_for,
)
from tests.contract.support.guest_samples import new_marker, nic, volumes_of

GRACE_S = 0.1
UNKNOWN_MAC = "52:54:00:00:00:ff"

# libvirt's test driver, in release 9.0, has no call that gives a running guest a device.
_RIGID = {"libvirt-test"}
RIGID_HOST = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in _RIGID], indirect=True)
EVERY_HOST_IN_EITHER_STATE = pytest.mark.parametrize(
    ("host", "power"),
    [
        pytest.param(*one.values, power, id=f"{one.id}-{power}", marks=one.marks)
        for one in FIXTURES
        for power in (PowerState.OFF, PowerState.ON)
        if one.id not in _RIGID or power is PowerState.OFF
    ],
    indirect=["host"],
)


def composed(host: DriverFixture, name: str = "nics", *, nics: Iterable[NicSpec] = (), on: bool = False) -> GuestSpec:
    spec = evolve(spec_for(host, name), nics=tuple(nics))
    host.driver.compose(spec)
    if on:
        switch(host, spec, PowerAction.ON)
    return spec


def switch(host: DriverFixture, spec: GuestSpec, action: PowerAction) -> None:
    host.driver.power(spec.ref, action, grace_s=GRACE_S)


def added(host: CapableFixture) -> NicSpec:
    """A NIC that a guest with the NICs of `host.nics` can get."""
    return host.every_nic[len(host.nics)]


def attach(host: DriverFixture, spec: GuestSpec, nic: NicSpec) -> PowerState:
    return host.driver.attach_nic(spec.ref, nic)


def detach(host: DriverFixture, spec: GuestSpec, nic: NicSpec) -> PowerState:
    return host.driver.detach_nic(spec.ref, nic.mac_address)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it, which agrees with a search for it. Without addresses: the firmware may get one."""
    found = host.driver.discover()
    assert spec.name not in {problem.subject for problem in found.problems}
    (guest,) = [guest for guest in found.guests if guest.marker == spec.marker]
    searched = host.driver.find(spec.ref)
    assert searched is not None
    assert attachments(searched.nics) == attachments(guest.nics)
    return evolve(guest, nics=tuple(evolve(one, addresses=None) for one in guest.nics))


def attachments(nics: Iterable[GuestNic | NicSpec]) -> Mapping[str, tuple[NicKind, str]]:
    return {one.mac_address: (one.kind, one.source) for one in nics}


def nics_in(host: DriverFixture, spec: GuestSpec) -> Mapping[str, tuple[NicKind, str]]:
    return attachments(listed(host, spec).nics)


@pytest.mark.clusters
@EVERY_HOST_IN_EITHER_STATE
def test_a_guest_gets_a_nic_at_once(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before, new = listed(host, spec), added(host)
    for _ in range(2):
        assert attach(host, spec, new) is power
        after = listed(host, spec)
        assert [one.mac_address for one in after.nics] == [one.mac_address for one in (*spec.nics, new)]
        assert attachments(after.nics) == attachments((*spec.nics, new))
        assert evolve(after, nics=before.nics) == before
    switch(host, spec, PowerAction.CYCLE)
    assert nics_in(host, spec) == attachments((*spec.nics, new))


@requires(Capability.NICS)
@pytest.mark.doubles_suffice
def test_a_guest_gets_nics_of_each_kind(host: CapableFixture) -> None:
    spec = composed(host, nics=host.nics)
    for new in host.every_nic[len(host.nics) :]:
        assert attach(host, spec, new) is PowerState.OFF
    assert nics_in(host, spec) == attachments(host.every_nic)
    for new in host.every_nic[len(host.nics) :]:
        detach(host, spec, new)
    assert nics_in(host, spec) == attachments(spec.nics)


@EVERY_HOST_IN_EITHER_STATE
def test_a_nic_on_a_missing_source_changes_nothing(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before = listed(host, spec)
    for kind in (NicKind.NETWORK, NicKind.BRIDGE, NicKind.MACVLAN):
        with pytest.raises(NotFound, match="no-such-one"):
            attach(host, spec, nic(7, kind, "no-such-one"))
    assert listed(host, spec) == before
    assert attach(host, spec, added(host)) is power


@EVERY_HOST_IN_EITHER_STATE
def test_a_static_address_is_reserved_and_free_again(host: CapableFixture, power: PowerState) -> None:
    new = host.addressed[0]
    spec = composed(host, on=power is PowerState.ON)
    assert attach(host, spec, new) is power
    assert new.address is not None
    assert host.assigned_address(spec.ref, new) == new.address.address
    switch(host, spec, PowerAction.FORCE_OFF)
    for _ in range(2):
        assert detach(host, spec, new) is PowerState.OFF
        assert nics_in(host, spec) == {}
    other = composed(host, "other", nics=[evolve(new, mac_address=UNKNOWN_MAC)])
    assert host.assigned_address(other.ref, other.nics[0]) == new.address.address


@EVERY_HOST_IN_EITHER_STATE
def test_the_address_of_another_guest_is_not_given_away(host: CapableFixture, power: PowerState) -> None:
    new = host.addressed[0]
    assert new.address is not None
    composed(host, "owner", nics=[evolve(new, mac_address=UNKNOWN_MAC)])
    spec = composed(host, on=power is PowerState.ON)
    before = listed(host, spec)
    with pytest.raises(WrongState, match=new.address.address):
        attach(host, spec, new)
    assert listed(host, spec) == before
    assert attach(host, spec, evolve(new, address=None)) is power


@EVERY_HOST_IN_EITHER_STATE
def test_the_address_of_an_added_nic_is_free_once_its_guest_is_gone(host: CapableFixture, power: PowerState) -> None:
    new = host.addressed[0]
    spec = composed(host, on=power is PowerState.ON)
    attach(host, spec, new)
    host.driver.decompose(spec.ref, volumes_of(spec))
    other = composed(host, "other", nics=[evolve(new, mac_address=UNKNOWN_MAC)])
    assert new.address is not None
    assert host.assigned_address(other.ref, other.nics[0]) == new.address.address


@pytest.mark.clusters
@EVERY_HOST_IN_EITHER_STATE
def test_a_guest_that_is_off_loses_a_nic(host: CapableFixture, power: PowerState) -> None:
    """It got the NIC in either state."""
    new = added(host)
    spec = composed(host, nics=host.nics)
    before = listed(host, spec)
    if power is PowerState.ON:
        switch(host, spec, PowerAction.ON)
    attach(host, spec, new)
    switch(host, spec, PowerAction.FORCE_OFF)
    for _ in range(2):
        assert detach(host, spec, new) is PowerState.OFF
        assert nics_in(host, spec) == attachments(spec.nics)
    assert listed(host, spec) == before
    switch(host, spec, PowerAction.ON)
    assert nics_in(host, spec) == attachments(spec.nics)


@pytest.mark.clusters
@EVERY_HOST_IN_EITHER_STATE
def test_a_running_guest_loses_a_nic_or_keeps_it(host: CapableFixture, power: PowerState) -> None:
    """No system runs in it, which some hypervisors need to take a NIC away. It got the NIC in either state."""
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    new = added(host)
    attach(host, spec, new)
    switch(host, spec, PowerAction.ON)
    before = listed(host, spec)
    try:
        assert detach(host, spec, new) is PowerState.ON
    except WrongState:
        assert listed(host, spec) == before
        switch(host, spec, PowerAction.FORCE_OFF)
        detach(host, spec, new)
    assert nics_in(host, spec) == attachments(spec.nics)
    switch(host, spec, PowerAction.CYCLE)
    assert nics_in(host, spec) == attachments(spec.nics)


@EVERY_HOST_IN_EITHER_STATE
def test_detaching_an_unknown_nic_changes_nothing(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before = listed(host, spec)
    assert host.driver.detach_nic(spec.ref, UNKNOWN_MAC) is power
    assert listed(host, spec) == before


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.doubles_suffice
def test_mac_addresses_are_compared_whatever_their_case(host: CapableFixture, power: PowerState) -> None:
    new = evolve(added(host), mac_address="52:54:00:AB:CD:EF")
    spec = composed(host, on=power is PowerState.ON)
    attach(host, spec, new)
    attach(host, spec, evolve(new, mac_address=new.mac_address.lower()))
    assert [mac.lower() for mac in nics_in(host, spec)] == [new.mac_address.lower()]
    switch(host, spec, PowerAction.FORCE_OFF)
    detach(host, spec, new)
    assert nics_in(host, spec) == {}


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.doubles_suffice
def test_only_the_guest_with_the_marker_gets_and_loses_nics(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    stranger = GuestRef(name=spec.name, marker=new_marker(INSTALLATION))
    before = listed(host, spec)
    with pytest.raises(NotFound):
        host.driver.attach_nic(stranger, added(host))
    with pytest.raises(NotFound):
        host.driver.detach_nic(stranger, host.nics[0].mac_address)
    assert listed(host, spec) == before


@RIGID_HOST
def test_a_running_guest_that_takes_no_nic_gets_it_while_off(host: CapableFixture) -> None:
    new = host.addressed[0]
    kept = added(host)
    spec = composed(host, nics=[kept], on=True)
    before = listed(host, spec)
    with pytest.raises(WrongState, match=r"while it runs: .* It can be attached while"):
        attach(host, spec, new)
    with pytest.raises(WrongState, match="shut the guest down first"):
        detach(host, spec, kept)
    assert listed(host, spec) == before
    assert host.assigned_address(spec.ref, new) == ""
    switch(host, spec, PowerAction.FORCE_OFF)
    attach(host, spec, new)
    assert nics_in(host, spec) == attachments([kept, new])


def change(host: DriverFixture, spec: GuestSpec, old: NicSpec, new: NicSpec) -> PowerState:
    return host.driver.change_nic(spec.ref, old.mac_address, new)


@pytest.mark.clusters
@EVERY_HOST_IN_EITHER_STATE
def test_a_nic_moves_to_another_network_or_stays(host: CapableFixture, power: PowerState) -> None:
    """Some hypervisors cannot connect a running guest elsewhere: nothing has changed then."""
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    old, before = spec.nics[0], listed(host, spec)
    new = evolve(added(host), mac_address=old.mac_address, name=old.name)
    try:
        assert change(host, spec, old, new) is power
    except WrongState:
        assert power is PowerState.ON
        assert listed(host, spec) == before
        switch(host, spec, PowerAction.FORCE_OFF)
        change(host, spec, old, new)
    expected = [new, *spec.nics[1:]]
    for _ in range(2):
        after = listed(host, spec)
        assert [one.mac_address for one in after.nics] == [one.mac_address for one in expected]
        assert attachments(after.nics) == attachments(expected)
        change(host, spec, old, new)
    switch(host, spec, PowerAction.CYCLE)
    assert nics_in(host, spec) == attachments(expected)
    switch(host, spec, PowerAction.FORCE_OFF)
    change(host, spec, new, old)
    assert nics_in(host, spec) == attachments(before.nics)


@pytest.mark.clusters
@EVERY_HOST_IN_EITHER_STATE
def test_a_mac_address_is_changed_only_while_the_guest_is_off(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    old, before = spec.nics[0], listed(host, spec)
    new = evolve(old, mac_address="52:54:00:00:00:fe")
    if power is PowerState.ON:
        with pytest.raises(WrongState, match=r"Shut .* down first"):
            change(host, spec, old, new)
        assert listed(host, spec) == before
        switch(host, spec, PowerAction.FORCE_OFF)
    for _ in range(2):
        assert change(host, spec, old, new) is PowerState.OFF
        assert nics_in(host, spec) == attachments([new, *spec.nics[1:]])
    switch(host, spec, PowerAction.ON)
    assert nics_in(host, spec) == attachments([new, *spec.nics[1:]])


@requires(Capability.NICS)
@pytest.mark.doubles_suffice
def test_a_nic_becomes_one_of_each_kind(host: CapableFixture) -> None:
    spec = composed(host, nics=host.nics)
    old = spec.nics[0]
    for other in host.every_nic[len(host.nics) :]:
        new = evolve(other, mac_address=old.mac_address)
        change(host, spec, old, new)
        assert nics_in(host, spec) == attachments([new, *spec.nics[1:]])
    change(host, spec, old, old)
    assert nics_in(host, spec) == attachments(spec.nics)


@EVERY_HOST_IN_EITHER_STATE
def test_a_nic_does_not_move_to_a_missing_source(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before = listed(host, spec)
    for kind in (NicKind.NETWORK, NicKind.BRIDGE):
        with pytest.raises(NotFound, match="no-such-one"):
            change(host, spec, spec.nics[0], evolve(spec.nics[0], kind=kind, source="no-such-one"))
    assert listed(host, spec) == before


@pytest.mark.parametrize("host", FIXTURES, indirect=True)
def test_a_changed_nic_has_another_reservation(host: CapableFixture) -> None:
    first, second = host.addressed[0], evolve(host.addressed[0], mac_address="52:54:00:00:00:fe")
    assert first.address is not None
    spec = composed(host, nics=[first])
    change(host, spec, first, second)
    assert host.assigned_address(spec.ref, second) == first.address.address
    change(host, spec, second, evolve(second, address=None))
    other = composed(host, "other", nics=[evolve(first, mac_address=UNKNOWN_MAC)])
    assert host.assigned_address(other.ref, other.nics[0]) == first.address.address
    before = listed(host, spec)
    with pytest.raises(WrongState, match=first.address.address):
        change(host, spec, second, second)
    assert listed(host, spec) == before


@EVERY_HOST_IN_EITHER_STATE
@pytest.mark.doubles_suffice
def test_only_a_nic_of_the_guest_with_the_marker_changes(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    stranger = GuestRef(name=spec.name, marker=new_marker(INSTALLATION))
    before = listed(host, spec)
    with pytest.raises(NotFound):
        host.driver.change_nic(stranger, spec.nics[0].mac_address, spec.nics[0])
    with pytest.raises(NotFound, match=UNKNOWN_MAC):
        host.driver.change_nic(spec.ref, UNKNOWN_MAC, added(host))
    assert listed(host, spec) == before
