"""Other cores and memory: at once while a guest is off, as far as possible while it runs, the rest at its start."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotFound, OutOfCapacity, Unsupported, WrongState
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import GuestSize
from common.values import Guest, GuestRef, PowerAction, PowerState
from rackd.drivers.start_refusals import StartChange, start_refusals
from tests.contract.support.driver_fixtures import (
    EVERY_HOST,
    FIXTURES,
    INSTALLATION,
    Capability,
    CapableFixture,
    DriverFixture,
    requires,
    spec_for,
)
from tests.contract.support.guest_samples import new_marker

GRACE_S = 0.1
SMALL, LARGE = GuestSize(cores=1, memory_mib=128), GuestSize(cores=2, memory_mib=256)
TOO_LARGE = GuestSize(cores=9999, memory_mib=128)

# libvirt's test driver accepts any number of cores, and its server has no NUMA nodes with huge pages.
REFUSES_SIZES = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id != "libvirt-test"], indirect=True)
# libvirtd of these tests has no file system of huge pages, without which it starts no such guest.
STARTS_ON_HUGE_PAGES = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id != "libvirt-qemu"], indirect=True
)
# LXD 5.0 chooses none for cores that are not pinned.
CHOOSES_NUMA_NODES = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id != "lxd-double"], indirect=True)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    """As a discovery run lists it, which agrees with a search for it."""
    guest = next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert size_of(found) == size_of(guest)
    return guest


def size_of(guest: Guest) -> GuestSize:
    return GuestSize(cores=guest.cores, memory_mib=guest.memory_mib)


def size_in(host: DriverFixture, spec: GuestSpec) -> GuestSize:
    return size_of(listed(host, spec))


def composed(
    host: DriverFixture, *, size: GuestSize = SMALL, on: bool = False, maximum: GuestSize | None = None
) -> GuestSpec:
    spec = evolve(spec_for(host, "size", disks=2), cores=size.cores, memory_mib=size.memory_mib)
    if maximum is not None:
        spec = evolve(spec, max_cores=maximum.cores, max_memory_mib=maximum.memory_mib)
    host.driver.compose(spec)
    if on:
        switch(host, spec, PowerAction.ON)
    return spec


def switch(host: DriverFixture, spec: GuestSpec, action: PowerAction, size: GuestSize | None = None) -> PowerState:
    return host.driver.power(spec.ref, action, grace_s=GRACE_S, size=size)


@EVERY_HOST
@pytest.mark.clusters
def test_a_guest_that_is_off_is_resized_at_once(host: DriverFixture) -> None:
    spec = composed(host)
    before = listed(host, spec)
    for size in (LARGE, LARGE, SMALL, evolve(SMALL, cores=2), evolve(LARGE, cores=1), LARGE):
        resized = host.driver.resize(spec.ref, size)
        assert (resized.size, resized.power) == (size, PowerState.OFF)
        assert size_in(host, spec) == size
    after = listed(host, spec)
    assert evolve(after, cores=before.cores, memory_mib=before.memory_mib) == before
    switch(host, spec, PowerAction.ON)
    assert size_in(host, spec) == LARGE


@EVERY_HOST
@pytest.mark.one_double
def test_what_a_running_guest_cannot_change_is_pending(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    resized = host.driver.resize(spec.ref, LARGE)
    assert resized.power is PowerState.ON
    assert resized.size.cores in {SMALL.cores, LARGE.cores}
    assert resized.size.memory_mib in {SMALL.memory_mib, LARGE.memory_mib}
    assert (size_in(host, spec), listed(host, spec).power) == (resized.size, PowerState.ON)
    assert host.driver.resize(spec.ref, LARGE) == resized


@EVERY_HOST
@pytest.mark.one_double
def test_a_guest_prepared_for_more_cores_gets_them_while_it_runs(host: DriverFixture) -> None:
    """No system runs in it, which some hypervisors need to give it memory."""
    spec = composed(host, maximum=LARGE)
    assert size_in(host, spec) == SMALL
    for _ in range(2):
        switch(host, spec, PowerAction.ON)
        assert size_in(host, spec) == SMALL
        resized = host.driver.resize(spec.ref, LARGE)
        assert resized.size.cores == LARGE.cores
        assert resized.size.memory_mib in {SMALL.memory_mib, LARGE.memory_mib}
        assert size_in(host, spec) == resized.size
        assert switch(host, spec, PowerAction.CYCLE, LARGE) is PowerState.ON
        assert size_in(host, spec) == LARGE
        switch(host, spec, PowerAction.FORCE_OFF)
        host.driver.resize(spec.ref, SMALL)


@EVERY_HOST
@pytest.mark.one_double
def test_a_guest_that_is_off_can_get_more_than_its_maximum(host: DriverFixture) -> None:
    spec = composed(host, maximum=evolve(SMALL, memory_mib=192))
    for size in (LARGE, evolve(SMALL, memory_mib=192), evolve(SMALL, memory_mib=129), LARGE, SMALL):
        assert host.driver.resize(spec.ref, size).size == size
        assert size_in(host, spec) == size
        switch(host, spec, PowerAction.ON)
        assert size_in(host, spec) == size
        switch(host, spec, PowerAction.FORCE_OFF)


@EVERY_HOST
@pytest.mark.one_double
def test_a_running_guest_keeps_its_memory(host: DriverFixture) -> None:
    spec = composed(host, size=LARGE, on=True)
    resized = host.driver.resize(spec.ref, SMALL)
    assert resized.size.memory_mib == LARGE.memory_mib
    assert (size_in(host, spec), listed(host, spec).power) == (resized.size, PowerState.ON)


@EVERY_HOST
@pytest.mark.clusters
@pytest.mark.parametrize(("before", "after"), [(SMALL, LARGE), (LARGE, SMALL)], ids=["larger", "smaller"])
def test_pending_size_comes_with_the_restart(host: DriverFixture, before: GuestSize, after: GuestSize) -> None:
    spec = composed(host, size=before, on=True)
    host.driver.resize(spec.ref, after)
    assert switch(host, spec, PowerAction.CYCLE, after) is PowerState.ON
    assert size_in(host, spec) == after


@EVERY_HOST
@pytest.mark.one_double
def test_pending_size_comes_with_the_next_start(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    host.driver.resize(spec.ref, LARGE)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert switch(host, spec, PowerAction.ON, LARGE) is PowerState.ON
    assert size_in(host, spec) == LARGE


@EVERY_HOST
@pytest.mark.doubles_suffice
@pytest.mark.one_double
def test_a_start_changes_no_guest_that_keeps_running(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    assert switch(host, spec, PowerAction.ON, LARGE) is PowerState.ON
    assert size_in(host, spec) == SMALL
    switch(host, spec, PowerAction.FORCE_OFF, LARGE)
    assert size_in(host, spec) == SMALL


@EVERY_HOST
@pytest.mark.one_double
def test_a_size_that_was_pending_can_be_withdrawn(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    host.driver.resize(spec.ref, evolve(SMALL, memory_mib=LARGE.memory_mib))
    withdrawn = host.driver.resize(spec.ref, SMALL).size
    switch(host, spec, PowerAction.CYCLE, None if withdrawn == SMALL else SMALL)  # where a running guest got it
    assert size_in(host, spec) == SMALL


@REFUSES_SIZES
@pytest.mark.one_double
def test_more_cores_than_the_host_can_give_are_refused(host: DriverFixture) -> None:
    spec = composed(host)
    with pytest.raises((OutOfCapacity, Unsupported), match="cores"):
        host.driver.resize(spec.ref, TOO_LARGE)
    assert size_in(host, spec) == SMALL
    switch(host, spec, PowerAction.ON)
    with pytest.raises((OutOfCapacity, Unsupported), match="cores"):
        host.driver.resize(spec.ref, TOO_LARGE)
    assert size_in(host, spec) == SMALL


@REFUSES_SIZES
@pytest.mark.doubles_suffice
@pytest.mark.one_double
def test_a_guest_starts_without_the_size_that_is_refused(host: DriverFixture) -> None:
    spec = composed(host)
    for action in (PowerAction.ON, PowerAction.CYCLE):
        with start_refusals() as refusals:
            assert switch(host, spec, action, TOO_LARGE) is PowerState.ON
        assert [("cores" in one) for one in refusals.of(StartChange.SIZE)] == [True]
        assert size_in(host, spec) == SMALL


@EVERY_HOST
@pytest.mark.doubles_suffice
@pytest.mark.one_double
def test_only_the_guest_with_the_marker_is_resized(host: DriverFixture) -> None:
    foreign = f"{host.prefix}foreign"
    host.make_foreign(foreign)
    before = next(guest for guest in host.driver.discover().guests if guest.name == foreign)
    with pytest.raises(NotFound):
        host.driver.resize(GuestRef(name=foreign, marker=new_marker(INSTALLATION)), LARGE)
    assert next(guest for guest in host.driver.discover().guests if guest.name == foreign) == before


@requires(Capability.PINNED_CORES)
def test_cores_of_a_guest_with_pinned_ones_stay(host: CapableFixture) -> None:
    spec = evolve(spec_for(host, "size"), cores=2, pinned_core_ids=host.pinnable_core_ids)
    host.driver.compose(spec)
    with pytest.raises(Unsupported, match="pinned"):
        host.driver.resize(spec.ref, GuestSize(cores=1, memory_mib=spec.memory_mib))
    assert host.driver.resize(spec.ref, LARGE).size == LARGE
    assert set(listed(host, spec).pinned_core_ids) == set(host.pinnable_core_ids)
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState, match="pinned"):
        host.driver.resize(spec.ref, evolve(LARGE, memory_mib=128))
    assert host.driver.resize(spec.ref, LARGE).size == LARGE
    assert switch(host, spec, PowerAction.CYCLE, evolve(LARGE, memory_mib=128)) is PowerState.ON
    assert size_in(host, spec) == evolve(LARGE, memory_mib=128)


@CHOOSES_NUMA_NODES
@pytest.mark.doubles_suffice
def test_memory_of_chosen_numa_nodes_changes_only_while_off(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "size"), numa_node_ids=(0,))
    host.driver.compose(spec)
    assert host.driver.resize(spec.ref, LARGE).size == LARGE
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState, match="NUMA nodes"):
        host.driver.resize(spec.ref, SMALL)
    assert size_in(host, spec) == LARGE


@STARTS_ON_HUGE_PAGES
@pytest.mark.one_double
def test_memory_in_huge_pages_changes_only_while_off(host: CapableFixture) -> None:
    spec = evolve(spec_for(host, "size"), huge_page_size_kib=host.huge_page_size_kib)
    host.driver.compose(spec)
    smaller = evolve(SMALL, memory_mib=64)
    assert host.driver.resize(spec.ref, smaller).size == smaller
    assert host.driver.resize(spec.ref, SMALL).size == SMALL
    switch(host, spec, PowerAction.ON)
    with pytest.raises(WrongState, match="huge pages"):
        host.driver.resize(spec.ref, smaller)
    assert size_in(host, spec) == SMALL


@REFUSES_SIZES
@pytest.mark.doubles_suffice
@pytest.mark.one_double
def test_more_huge_pages_than_the_host_has_are_refused(host: CapableFixture) -> None:
    spec = evolve(spec_for(host, "size"), huge_page_size_kib=host.huge_page_size_kib)
    host.driver.compose(spec)
    with pytest.raises(OutOfCapacity, match="huge pages"):
        host.driver.resize(spec.ref, GuestSize(cores=1, memory_mib=1024 * 1024))
    assert size_in(host, spec) == SMALL
    smaller = evolve(SMALL, memory_mib=64)
    for size in (smaller, SMALL):
        assert host.driver.resize(spec.ref, size).size == size
