"""Other pinned cores, huge pages and NUMA nodes, with the size that goes with them: only while a guest is off."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import InvalidRequest, NotFound, OutOfCapacity, Unsupported, WrongState
from common.guests.guest_placement import UNBOUND, GuestPlacement
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import GuestSize
from common.values import Guest, GuestRef, PowerAction, PowerState
from tests.contract.hardware.test_resize_contract import REFUSES_SIZES, STARTS_ON_HUGE_PAGES, listed, size_of, switch
from tests.contract.support.driver_fixtures import (
    EVERY_HOST,
    INSTALLATION,
    Capability,
    CapableFixture,
    requires,
    spec_for,
)
from tests.contract.support.guest_samples import new_marker

ONE, TWO = GuestSize(cores=1, memory_mib=128), GuestSize(cores=2, memory_mib=128)
IN_HALF = GuestSize(cores=1, memory_mib=64)


def composed(host: CapableFixture, size: GuestSize = ONE, placement: GuestPlacement = UNBOUND) -> GuestSpec:
    spec = evolve(
        spec_for(host, "placed"),
        cores=size.cores,
        memory_mib=size.memory_mib,
        pinned_core_ids=placement.pinned_core_ids,
        huge_page_size_kib=placement.huge_page_size_kib,
        numa_node_ids=placement.numa_node_ids,
    )
    host.driver.compose(spec)
    return spec


def placed(host: CapableFixture, spec: GuestSpec, size: GuestSize, placement: GuestPlacement) -> Guest:
    """The guest as it is listed after the change, which changes nothing more when it is repeated."""
    for _ in range(2):
        resized = host.driver.resize_placed(spec.ref, size, placement)
        assert (resized.size, resized.power) == (size, PowerState.OFF)
        found = listed(host, spec)
        assert size_of(found) == size
        assert {*found.pinned_core_ids} == {*placement.pinned_core_ids}
        assert found.huge_pages_backed is (placement.huge_page_size_kib is not None)
    return found


@requires(Capability.PINNED_CORES)
@pytest.mark.clusters
def test_pinned_cores_grow_and_shrink_while_the_guest_is_off(host: CapableFixture) -> None:
    both = GuestPlacement(pinned_core_ids=host.pinnable_core_ids)
    one = GuestPlacement(pinned_core_ids=host.pinnable_core_ids[:1])
    spec = composed(host, ONE, one)
    before = listed(host, spec)
    placed(host, spec, TWO, both)
    assert placed(host, spec, ONE, one) == before
    assert placed(host, spec, TWO, UNBOUND).pinned_core_ids == ()
    placed(host, spec, TWO, both)
    assert switch(host, spec, PowerAction.ON) is PowerState.ON
    found = listed(host, spec)
    assert (size_of(found), {*found.pinned_core_ids}) == (TWO, {*host.pinnable_core_ids})


@requires(Capability.PINNED_CORES)
def test_a_running_guest_keeps_its_placement(host: CapableFixture) -> None:
    both = GuestPlacement(pinned_core_ids=host.pinnable_core_ids)
    spec = composed(host, TWO, both)
    switch(host, spec, PowerAction.ON)
    before = listed(host, spec)
    assert host.driver.resize_placed(spec.ref, TWO, both).power is PowerState.ON
    for size, placement in (
        (TWO, UNBOUND),
        (ONE, GuestPlacement(pinned_core_ids=host.pinnable_core_ids[:1])),
        (evolve(TWO, memory_mib=256), both),
    ):
        with pytest.raises(WrongState, match="only while it is off"):
            host.driver.resize_placed(spec.ref, size, placement)
    after = listed(host, spec)
    assert evolve(after, started_at=None) == evolve(before, started_at=None)


@EVERY_HOST
def test_each_virtual_core_has_a_pinned_one_or_none_has(host: CapableFixture) -> None:
    spec = composed(host)
    for ids in ((0, 1), (0, 0)):
        with pytest.raises(InvalidRequest, match="exactly one core"):
            host.driver.resize_placed(spec.ref, GuestSize(cores=len(ids), memory_mib=128) if ids == (0, 0) else ONE,
                                      GuestPlacement(pinned_core_ids=ids))  # fmt: skip
    assert listed(host, spec).pinned_core_ids == ()


@REFUSES_SIZES
@pytest.mark.doubles_suffice
def test_a_core_that_the_host_lacks_is_refused(host: CapableFixture) -> None:
    spec = composed(host)
    with pytest.raises(NotFound, match="9999"):
        host.driver.resize_placed(spec.ref, ONE, GuestPlacement(pinned_core_ids=(9999,)))
    assert listed(host, spec).pinned_core_ids == ()


@requires(Capability.HUGE_PAGES)
def test_memory_is_defined_in_huge_pages_and_out_of_them(host: CapableFixture) -> None:
    """Also where this machine starts no such guest."""
    pages = GuestPlacement(huge_page_size_kib=host.huge_page_size_kib, numa_node_ids=(0,))
    spec = composed(host, IN_HALF)
    before = listed(host, spec)
    placed(host, spec, ONE, pages)
    placed(host, spec, ONE, evolve(pages, pinned_core_ids=host.pinnable_core_ids[:1]))
    assert placed(host, spec, IN_HALF, UNBOUND) == before


@STARTS_ON_HUGE_PAGES
def test_memory_moves_into_huge_pages_and_out_again(host: CapableFixture) -> None:
    pages = GuestPlacement(huge_page_size_kib=host.huge_page_size_kib, numa_node_ids=(0,))
    spec = composed(host, IN_HALF)
    before = listed(host, spec)
    placed(host, spec, ONE, pages)
    placed(host, spec, IN_HALF, pages)
    switch(host, spec, PowerAction.ON)
    assert listed(host, spec).huge_pages_backed
    with pytest.raises(WrongState, match="huge pages"):
        host.driver.resize_placed(spec.ref, IN_HALF, UNBOUND)
    switch(host, spec, PowerAction.FORCE_OFF)
    after = placed(host, spec, IN_HALF, UNBOUND)
    assert evolve(after, started_at=None) == evolve(before, started_at=None)
    switch(host, spec, PowerAction.ON)
    assert size_of(listed(host, spec)) == IN_HALF


@REFUSES_SIZES
@pytest.mark.doubles_suffice
def test_huge_pages_that_the_host_lacks_are_refused(host: CapableFixture) -> None:
    spec = composed(host)
    pages = GuestPlacement(huge_page_size_kib=host.huge_page_size_kib)
    with pytest.raises(OutOfCapacity, match="huge pages"):
        host.driver.resize_placed(spec.ref, GuestSize(cores=1, memory_mib=1024 * 1024), pages)
    with pytest.raises((OutOfCapacity, Unsupported), match="huge pages"):
        host.driver.resize_placed(spec.ref, ONE, GuestPlacement(huge_page_size_kib=64))
    found = listed(host, spec)
    assert (size_of(found), found.huge_pages_backed) == (ONE, False)


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_only_the_guest_with_the_marker_is_placed(host: CapableFixture) -> None:
    foreign = f"{host.prefix}foreign"
    host.make_foreign(foreign)
    with pytest.raises(NotFound):
        host.driver.resize_placed(GuestRef(name=foreign, marker=new_marker(INSTALLATION)), ONE, UNBOUND)
