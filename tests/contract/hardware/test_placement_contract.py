"""Contract of placement: the driver applies the chosen cores, huge pages, NIC sources and addresses."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotFound
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import Guest, NicKind
from tests.contract.support.driver_fixtures import Capability, CapableFixture, requires, spec_for
from tests.contract.support.guest_samples import volumes_of


def listed(host: CapableFixture, spec: GuestSpec) -> Guest:
    """The guest as discovery lists it."""
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == spec.name]
    assert found.is_complete
    return found


@pytest.mark.clusters
@requires(Capability.PINNED_CORES)
def test_guests_are_pinned_to_the_chosen_cores(host: CapableFixture) -> None:
    ids = host.pinnable_core_ids
    spec = evolve(spec_for(host, "pinned"), cores=len(ids), pinned_core_ids=ids)
    composed = host.driver.compose(spec)
    assert (composed.cores, sorted(composed.pinned_core_ids)) == (len(ids), sorted(ids))
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.pinned_core_ids == listed(host, spec).pinned_core_ids == composed.pinned_core_ids
    assert host.driver.compose(spec) == composed


@requires(Capability.HUGE_PAGES)
def test_huge_pages_back_all_memory_on_request(host: CapableFixture) -> None:
    plain = host.driver.compose(spec_for(host, "plain"))
    spec = evolve(spec_for(host, "backed"), huge_page_size_kib=host.huge_page_size_kib)
    backed = host.driver.compose(spec)
    assert (plain.huge_pages_backed, backed.huge_pages_backed) == (False, True)
    assert backed.memory_mib == spec.memory_mib
    assert listed(host, spec).huge_pages_backed
    assert host.driver.compose(spec) == backed


@requires(Capability.NICS)
def test_nics_are_attached_to_the_chosen_source(host: CapableFixture) -> None:
    spec = evolve(spec_for(host, "nics"), nics=host.every_nic)
    composed = host.driver.compose(spec)
    expected = [(nic.mac_address, nic.kind, nic.source) for nic in host.every_nic]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in composed.nics] == expected
    assert listed(host, spec).nics == composed.nics
    assert host.driver.find(spec.ref) == composed
    assert host.driver.compose(spec) == composed


@requires(Capability.STATIC_ADDRESS)
def test_static_addresses_reach_the_host(host: CapableFixture) -> None:
    spec = evolve(spec_for(host, "addressed"), nics=host.addressed)
    host.driver.compose(spec)
    assigned = [host.assigned_address(spec.ref, nic) for nic in spec.nics]
    assert assigned == [nic.address and nic.address.address for nic in spec.nics]
    host.driver.decompose(spec.ref, volumes_of(spec))
    again = evolve(spec_for(host, "addressed-again"), nics=spec.nics)
    host.driver.compose(again)  # the address was released
    assert [host.assigned_address(again.ref, nic) for nic in again.nics] == assigned


@pytest.mark.clusters
@requires(Capability.KNOWN_NETWORKS)
def test_a_missing_network_is_rejected_before_creation(host: CapableFixture) -> None:
    before = host.volumes()
    missing = NicSpec(name="eth0", mac_address="52:54:00:00:00:0f", kind=NicKind.NETWORK, source="no-such-net")
    spec = evolve(spec_for(host, "no-network"), nics=(missing,))
    with pytest.raises(NotFound, match="no-such-net"):
        host.driver.compose(spec)
    assert host.volumes() == before
    assert host.driver.find(spec.ref) is None
