"""Which cores and huge pages a machine gets that is resized."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, OutOfCapacity
from common.guests.sizes import GuestSize
from regiond.ledger.model import DiscreteResources
from regiond.machines.hardware.resize.binding import BoundMachine, guest_placement, new_binding, newly_taken, without
from regiond.machines.values.resize import SizeRequest
from regiond.placement.candidate import Candidate, CandidateHugePages, CandidateNode

PAGES = "0/2048"


def node(node_id: int, free: tuple[int, ...], pages_free: int = 1024) -> CandidateNode:
    first = node_id * 8
    return CandidateNode(
        node_id=node_id,
        core_ids=tuple(range(first, first + 8)),
        free_core_ids=free,
        siblings=tuple((core, core + 1) for core in range(first, first + 8, 2)),
        pages=(CandidateHugePages(size_kib=2048, total=1024, free=pages_free),),
    )


def machine(bound: DiscreteResources, *nodes: CandidateNode, cores: int | None = None) -> BoundMachine:
    host = Candidate(
        id=1, name="alder", state="ready", reachable=True, architecture="amd64", cores=16, memory_mib=65536,
        nodes=nodes,
    )  # fmt: skip
    return BoundMachine(hostname="web", host=host, cores=cores or len(bound.pinned_core_ids), bound=bound)


def size(cores: int, memory_mib: int = 1024) -> GuestSize:
    return GuestSize(cores=cores, memory_mib=memory_mib)


def pins(*ids: int) -> DiscreteResources:
    return DiscreteResources(pinned_core_ids=ids)


def test_it_grows_on_the_physical_cores_that_it_has_in_part() -> None:
    found = new_binding(machine(pins(1, 2), node(0, (0, 3, 4, 5)), node(1, (8, 9))), SizeRequest(cores=4), size(4))
    assert found == pins(0, 1, 2, 3)


def test_it_keeps_whole_physical_cores_when_it_shrinks() -> None:
    found = new_binding(machine(pins(1, 4, 5, 6), node(0, ())), SizeRequest(cores=2), size(2))
    assert found == pins(4, 5)


def test_it_leaves_the_node_with_the_fewest_of_its_cores_first() -> None:
    found = new_binding(machine(pins(0, 1, 2, 8), node(0, ()), node(1, ())), SizeRequest(cores=3), size(3))
    assert found == pins(0, 1, 2)


def test_its_node_has_too_few_cores() -> None:
    with pytest.raises(OutOfCapacity) as error:
        new_binding(machine(pins(0), node(0, (3,)), node(1, (8, 9, 10))), SizeRequest(cores=3), size(3))
    assert error.value.message == (
        "web needs 3 pinned cores and stays on NUMA node 0: 2 of 8 cores unpinned on node 0, its own included. "
        "Elsewhere are 3 of 8 cores unpinned on node 1. Ask for fewer, free some there, or name cores that are free "
        "with pinned_cores."
    )


def test_memory_follows_named_cores_to_their_node() -> None:
    bound = DiscreteResources(pinned_core_ids=(0, 1), huge_pages={PAGES: 512})
    found = new_binding(machine(bound, node(0, (), 0), node(1, (8, 9))), SizeRequest(pinned_cores=(9, 8)), size(2))
    assert found == DiscreteResources(pinned_core_ids=(8, 9), huge_pages={"1/2048": 512})
    assert guest_placement(found).numa_node_ids == (1,)


def test_unpinned_memory_in_huge_pages_stays_on_its_node() -> None:
    bound = DiscreteResources(huge_pages={"1/2048": 512})
    alone = machine(bound, node(0, ()), node(1, (), 256), cores=1)
    found = new_binding(alone, SizeRequest(memory_mib=1536), size(1, 1536))
    assert found == DiscreteResources(huge_pages={"1/2048": 768})
    with pytest.raises(OutOfCapacity, match=r"769 huge pages .* 768 of 1024 free on node 1, its own included\. "
                                            r"Elsewhere are .*1024 huge pages of 2 MiB on node 0"):  # fmt: skip
        new_binding(alone, SizeRequest(memory_mib=1538), size(1, 1538))


def test_what_is_not_asked_for_stays() -> None:
    partly = machine(pins(0, 1), node(0, ()), cores=4)  # an administrator has pinned two of its four cores
    assert new_binding(partly, SizeRequest(memory_mib=2048), size(4, 2048)) == pins(0, 1)
    pages = DiscreteResources(pinned_core_ids=(0,), huge_pages={PAGES: 512})
    assert new_binding(machine(pages, node(0, (), 0)), SizeRequest(cores=1), size(1)) is pages
    assert new_binding(machine(pages, node(0, ())), SizeRequest(huge_pages=False), size(1)) == pins(0)
    assert new_binding(machine(pages, node(0, ())), SizeRequest(pin_cores=0), size(1)) == DiscreteResources(
        huge_pages={PAGES: 512}
    )


def test_a_page_size_needs_huge_pages() -> None:
    with pytest.raises(InvalidRequest):
        new_binding(machine(pins(0), node(0, ())), SizeRequest(huge_page_size_mib=2), size(1))


def test_a_host_without_nodes_pins_nothing() -> None:
    with pytest.raises(OutOfCapacity, match="does not report its cores"):
        new_binding(machine(DiscreteResources(), cores=1), SizeRequest(pin_cores=1), size(1))


@pytest.mark.parametrize(("free", "taken", "left"), [(512, 500, 12), (512, 512, 0), (512, 600, 0)])
def test_no_page_is_free_once_others_have_all(free: int, taken: int, left: int) -> None:
    """More than are free can be taken: the host may have fewer pages than it had."""
    host = without(machine(pins(), node(0, (), free), cores=1).host, DiscreteResources(huge_pages={PAGES: taken}))
    assert [one.free for one in host.nodes[0].pages] == [left]


@pytest.mark.parametrize(("had", "has", "more"), [(512, 768, 256), (512, 512, 0), (512, 256, 0), (0, 1, 1)])
def test_pages_that_it_had_are_not_newly_taken(had: int, has: int, more: int) -> None:
    before, then = (DiscreteResources(huge_pages={PAGES: pages}) for pages in (had, has))
    assert newly_taken(before, then) == DiscreteResources(huge_pages={PAGES: more})


def test_what_others_take_is_not_free() -> None:
    taken = DiscreteResources(pinned_core_ids=(2, 3), huge_pages={PAGES: 1000})
    host = without(machine(pins(0), node(0, (1, 2, 3))).host, taken)
    assert (host.nodes[0].free_core_ids, host.nodes[0].pages[0].free) == ((1,), 24)


@given(
    own=st.sets(st.integers(0, 15), min_size=1, max_size=8),
    free=st.sets(st.integers(0, 15)),
    count=st.integers(1, 16),
)
def test_it_gets_as_many_cores_as_it_needs_and_nobody_elses(own: set[int], free: set[int], count: int) -> None:
    nodes = tuple(node(one, tuple(sorted(core for core in free - own if core // 8 == one))) for one in (0, 1))
    before = pins(*own)
    homes = {core // 8 for core in own}
    room = len({core for core in own | free if core // 8 in homes})
    if room < count:
        with pytest.raises(OutOfCapacity):
            new_binding(machine(before, *nodes), SizeRequest(cores=count), size(count))
        return
    found = new_binding(machine(before, *nodes), SizeRequest(cores=count), size(count))
    assert len(found.pinned_core_ids) == count <= room
    assert {*newly_taken(before, found).pinned_core_ids} <= free - own
    assert {core // 8 for core in found.pinned_core_ids} <= homes
    assert count < len(own) or own <= {*found.pinned_core_ids}
    assert evolve(found, pinned_core_ids=()) == DiscreteResources()
