"""What a driver does with what placement chose: cores, huge pages, attachments and addresses of cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import NotFound
from common.values import Guest, GuestSpec, NicKind, NicSpec
from tests.contract.benches import Ability, AbleBench, able, spec_for


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AbleBench]:
    make: Callable[[Path], AbleBench] = request.param
    made = make(tmp_path)
    yield made
    made.close()


def listed(bench: AbleBench, spec: GuestSpec) -> Guest:
    """The guest as it is told among all of the host."""
    (found,) = [guest for guest in bench.driver.discover().guests if guest.name == spec.name]
    assert found.fully_told
    return found


@able(Ability.PINNED_CORES)
def test_a_guest_is_pinned_to_the_cores_that_were_chosen(bench: AbleBench) -> None:
    ids = bench.pinnable_core_ids
    spec = evolve(spec_for(bench, "pinned"), cores=len(ids), pinned_core_ids=ids)
    made = bench.driver.compose(spec)
    assert (made.cores, sorted(made.pinned_core_ids)) == (len(ids), sorted(ids))
    found = bench.driver.find(spec.ref)
    assert found is not None
    assert found.pinned_core_ids == listed(bench, spec).pinned_core_ids == made.pinned_core_ids
    assert bench.driver.compose(spec) == made


@able(Ability.HUGE_PAGES)
def test_all_memory_of_a_guest_is_of_huge_pages_when_it_was_asked_for(bench: AbleBench) -> None:
    plain = bench.driver.compose(spec_for(bench, "plain"))
    spec = evolve(spec_for(bench, "backed"), huge_page_size_kib=bench.huge_page_size_kib)
    backed = bench.driver.compose(spec)
    assert (plain.huge_pages_backed, backed.huge_pages_backed) == (False, True)
    assert backed.memory_mib == spec.memory_mib
    assert listed(bench, spec).huge_pages_backed
    assert bench.driver.compose(spec) == backed


@able(Ability.CARDS)
def test_each_card_is_attached_to_what_was_chosen(bench: AbleBench) -> None:
    spec = evolve(spec_for(bench, "cards"), nics=bench.cards)
    made = bench.driver.compose(spec)
    wanted = [(nic.mac_address, nic.kind, nic.source) for nic in bench.cards]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in made.nics] == wanted
    assert listed(bench, spec).nics == made.nics
    assert bench.driver.find(spec.ref) == made
    assert bench.driver.compose(spec) == made


@able(Ability.STATIC_ADDRESS)
def test_the_host_is_told_the_address_of_each_card(bench: AbleBench) -> None:
    spec = evolve(spec_for(bench, "addressed"), nics=bench.addressed)
    bench.driver.compose(spec)
    told = [bench.told_address(spec.ref, nic) for nic in spec.nics]
    assert told == [nic.address and nic.address.address for nic in spec.nics]
    bench.driver.decompose(spec.ref, tuple((disk.pool_id, disk.volume) for disk in spec.disks))
    again = evolve(spec_for(bench, "addressed-again"), nics=spec.nics)
    bench.driver.compose(again)  # the address is free again
    assert [bench.told_address(again.ref, nic) for nic in again.nics] == told


@able(Ability.KNOWN_NETWORKS)
def test_a_card_on_a_network_that_is_gone_is_refused_and_nothing_is_made(bench: AbleBench) -> None:
    before = bench.volumes()
    lost = NicSpec(name="eth0", mac_address="52:54:00:00:00:0f", kind=NicKind.NETWORK, source="no-such-net")
    spec = evolve(spec_for(bench, "nonet"), nics=(lost,))
    with pytest.raises(NotFound, match="no-such-net"):
        bench.driver.compose(spec)
    assert bench.volumes() == before
    assert bench.driver.find(spec.ref) is None
