"""Which huge pages, cores and virtual functions each guest uses, computed from driver reports and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkDevice, NetworkPort
from common.values import HugePages, NumaNode
from regiond.hosts.discovery.allocations import GuestKey, Inventory, allocations, claim_holder, inventory_of
from regiond.ledger.model import DiscreteResources, GuestClaims, page_size_kib, read_pages_key

MIB2, GIB1 = 2048, 1024**2


@frozen(kw_only=True)
class Guest:
    name: str
    machine_id: int | None = None
    cores: int = 1
    memory_mib: int = 1024
    pinned_core_ids: tuple[int, ...] = ()
    huge_pages_backed: bool = True
    nics: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def key(self) -> GuestKey:
        return "", self.name


def node(node_id: int, **totals: int) -> NumaNode:
    """`two` and `gib`: numbers of pages of 2 MiB and 1 GiB. Node 0 has cores 0 to 3, node 1 has 4 to 7, …"""
    sizes = {"two": MIB2, "gib": GIB1}
    return NumaNode(
        node_id=node_id,
        core_ids=tuple(range(4 * node_id, 4 * node_id + 4)),
        memory_mib=2**16,
        huge_pages=tuple(HugePages(size_kib=sizes[name], total=total) for name, total in totals.items()),
    )


def pages(inventory: Inventory, *guests: Guest, **before: DiscreteResources) -> list[Mapping[str, int]]:
    held = allocations(guests, inventory, {("", name): counted for name, counted in before.items()})
    return [held[guest.key].discrete.huge_pages for guest in guests]


def test_a_pinned_guest_has_pages_on_the_nodes_of_its_pins() -> None:
    inventory = inventory_of([node(0, two=4000), node(1, two=4000), node(2, two=4000)], ())
    assert pages(inventory, Guest(name="a", memory_mib=3000, pinned_core_ids=(0, 4, 5))) == [
        {"0/2048": 500, "1/2048": 1000}
    ]


def test_an_unpinned_guest_has_pages_where_most_are_free() -> None:
    inventory = inventory_of([node(0, gib=2), node(1, gib=3)], ())
    first, second, third = (Guest(name=name, memory_mib=2048) for name in "abc")
    assert pages(inventory, first) == [{"1/1048576": 2}]
    assert pages(inventory, first, second) == [{"1/1048576": 2}, {"0/1048576": 2}]
    assert pages(inventory, first, second, third)[2] == {"1/1048576": 2}, (
        "more than exist, on the node with the most free pages"
    )
    taken = DiscreteResources(huge_pages={"1/1048576": 3})
    assert pages(inventory, first, other=taken) == [{"0/1048576": 2}]


def test_pages_are_of_the_smallest_size_unless_the_ledger_knows() -> None:
    inventory = inventory_of([node(0, two=0, gib=4), node(1, two=900, gib=4)], ())
    pinned, unpinned = Guest(name="a", pinned_core_ids=(0,)), Guest(name="b")
    assert pages(inventory, pinned, unpinned) == [{"0/1048576": 1}, {"1/2048": 512}]
    assert pages(inventory, unpinned, b=DiscreteResources(huge_pages={"0/1048576": 9})) == [{"0/1048576": 1}], (
        "the ledger has another size"
    )


def test_without_huge_pages_the_memory_is_general() -> None:
    guest = Guest(name="a", pinned_core_ids=(0,))
    for inventory in (inventory_of([node(0, two=0)], ()), inventory_of([], ())):
        assert allocations([guest], inventory, {}) == {
            guest.key: GuestClaims(cores=1, memory_mib=1024, discrete=DiscreteResources(pinned_core_ids=(0,)))
        }


def test_the_ports_of_a_device_share_its_virtual_functions() -> None:
    device = NetworkDevice(virtual_functions=8, ports=(NetworkPort(name="p0"), NetworkPort(name="p1")))
    inventory = inventory_of(
        [], [device, NetworkDevice(virtual_functions=4), NetworkDevice(ports=(NetworkPort(name="plain"),))]
    )
    assert inventory.totals == {("virtual_functions", "p0"): 8}
    nics = tuple({"kind": "sriov", "source": source} for source in ("p0", "p1", "p1", "plain", ""))
    guest = Guest(name="a", huge_pages_backed=False, nics=(*nics, {"kind": "bridge", "source": "p0"}))
    assert allocations([guest], inventory, {})[guest.key].discrete == DiscreteResources(functions={"p0": 3})


NODES = st.lists(
    st.builds(lambda two, gib: {"two": two, "gib": gib}, st.sampled_from([0, 0, 600, 4000]), st.integers(0, 5)),
    max_size=3,
).map(lambda each: [node(number, **totals) for number, totals in enumerate(each)])
GUESTS = st.lists(
    st.builds(
        Guest,
        name=st.sampled_from("abcdef"),
        memory_mib=st.sampled_from([0, 1, 512, 1024, 1025, 3000]),
        pinned_core_ids=st.sets(st.integers(0, 13), max_size=4).map(tuple),
        huge_pages_backed=st.booleans(),
    ),
    unique_by=lambda one: one.name,
    max_size=5,
)


@given(NODES, GUESTS)
def test_pages_cover_the_memory_with_less_than_a_page_spare_per_node(
    nodes: list[NumaNode], guests: list[Guest]
) -> None:
    inventory = inventory_of(nodes, ())
    for guest in guests:
        held = allocations(guests, inventory, {})[guest.key]
        counted = held.discrete.huge_pages
        size_kib = page_size_kib(counted)
        if size_kib is None:
            assert held.memory_mib == guest.memory_mib
            assert not (guest.huge_pages_backed and guest.memory_mib and inventory.huge_memory_mib)
            continue
        assert held.memory_mib == 0
        assert {read_pages_key(key)[1] for key in counted} == {size_kib}
        spare_kib = size_kib * sum(counted.values()) - guest.memory_mib * 1024
        assert 0 <= spare_kib < size_kib * len(counted)
        assert all(("huge_pages", key) in inventory.totals for key in counted)


@given(NODES, GUESTS, st.permutations(range(5)))
def test_allocations_are_stable_in_any_order_of_guests(
    nodes: list[NumaNode], guests: list[Guest], order: list[int]
) -> None:
    inventory = inventory_of(nodes, ())
    first = allocations(guests, inventory, {})
    counted = {claim_holder(guest): first[guest.key].discrete for guest in guests}
    again = [guests[number] for number in order if number < len(guests)]
    assert allocations(again, inventory, counted) == first
    assert allocations(again, inventory, {}) == first


@given(NODES, GUESTS)
def test_no_node_is_overcommitted_while_others_have_pages(nodes: list[NumaNode], guests: list[Guest]) -> None:
    """Guests without pins can use any node."""
    inventory = inventory_of(nodes, ())
    unpinned = [evolve(guest, pinned_core_ids=(), huge_pages_backed=True) for guest in guests]
    held = [one.discrete.huge_pages for one in allocations(unpinned, inventory, {}).values()]
    used = {key: sum(pages.get(key, 0) for pages in held) for pages in held for key in pages}
    totals = {size: sum(n for (_, key), n in inventory.totals.items() if read_pages_key(key)[1] == size)
             for size in (MIB2, GIB1)}  # fmt: skip
    for key, amount in used.items():
        size_kib = read_pages_key(key)[1]
        used_of_size = sum(n for other, n in used.items() if read_pages_key(other)[1] == size_kib)
        assert amount <= inventory.totals["huge_pages", key] or used_of_size > totals[size_kib]
