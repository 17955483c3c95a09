"""What guests take of huge pages, cores and functions, as far as anybody can tell from how they were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkCard, NetworkPort
from common.values import HugePages, NumaNode
from regiond.hosts.holdings import Key, Stock, holder_of, holdings, stock_of
from regiond.ledger.model import Counted, Held, page_size_kib, read_pages_key

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
    def key(self) -> Key:
        return "", self.name


def node(node_id: int, **totals: int) -> NumaNode:
    """`two` and `gib` are how many pages of 2 MiB and 1 GiB; cores 0 to 3 are of node 0, 4 to 7 of node 1, …"""
    sizes = {"two": MIB2, "gib": GIB1}
    return NumaNode(
        node_id=node_id,
        core_ids=tuple(range(4 * node_id, 4 * node_id + 4)),
        memory_mib=2**16,
        huge_pages=tuple(HugePages(size_kib=sizes[name], total=total) for name, total in totals.items()),
    )


def pages(stock: Stock, *guests: Guest, **before: Counted) -> list[Mapping[str, int]]:
    held = holdings(guests, stock, {("", name): counted for name, counted in before.items()})
    return [held[guest.key].counted.huge_pages for guest in guests]


def test_a_pinned_guest_has_pages_of_the_nodes_of_its_pins_in_proportion() -> None:
    stock = stock_of([node(0, two=4000), node(1, two=4000), node(2, two=4000)], ())
    assert pages(stock, Guest(name="a", memory_mib=3000, pinned_core_ids=(0, 4, 5))) == [
        {"0/2048": 500, "1/2048": 1000}
    ]


def test_a_guest_without_pins_has_pages_of_the_nodes_with_most_of_them_free() -> None:
    stock = stock_of([node(0, gib=2), node(1, gib=3)], ())
    first, second, third = (Guest(name=name, memory_mib=2048) for name in "abc")
    assert pages(stock, first) == [{"1/1048576": 2}]
    assert pages(stock, first, second) == [{"1/1048576": 2}, {"0/1048576": 2}]
    assert pages(stock, first, second, third)[2] == {"1/1048576": 2}, "more than there is, on the node with most left"
    taken = Counted(huge_pages={"1/1048576": 3})
    assert pages(stock, first, other=taken) == [{"0/1048576": 2}]


def test_of_several_sizes_it_is_the_smallest_unless_the_ledger_knows() -> None:
    stock = stock_of([node(0, two=0, gib=4), node(1, two=900, gib=4)], ())
    on_first, anywhere = Guest(name="a", pinned_core_ids=(0,)), Guest(name="b")
    assert pages(stock, on_first, anywhere) == [{"0/1048576": 1}, {"1/2048": 512}]
    assert pages(stock, anywhere, b=Counted(huge_pages={"0/1048576": 9})) == [{"0/1048576": 1}], "another size of it"


def test_where_there_are_no_huge_pages_what_backs_a_guest_is_general_memory() -> None:
    guest = Guest(name="a", pinned_core_ids=(0,))
    for stock in (stock_of([node(0, two=0)], ()), stock_of([], ())):
        assert holdings([guest], stock, {}) == {
            guest.key: Held(cores=1, memory_mib=1024, counted=Counted(pinned_core_ids=(0,)))
        }


def test_the_ports_of_one_card_share_its_functions() -> None:
    card = NetworkCard(virtual_functions=8, ports=(NetworkPort(name="p0"), NetworkPort(name="p1")))
    stock = stock_of([], [card, NetworkCard(virtual_functions=4), NetworkCard(ports=(NetworkPort(name="plain"),))])
    assert stock.totals == {("virtual_functions", "p0"): 8}
    nics = tuple({"kind": "sriov", "source": source} for source in ("p0", "p1", "p1", "plain", ""))
    guest = Guest(name="a", huge_pages_backed=False, nics=(*nics, {"kind": "bridge", "source": "p0"}))
    assert holdings([guest], stock, {})[guest.key].counted == Counted(functions={"p0": 3})


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
def test_pages_hold_all_memory_and_less_than_a_page_more_on_each_node(
    nodes: list[NumaNode], guests: list[Guest]
) -> None:
    stock = stock_of(nodes, ())
    for guest in guests:
        held = holdings(guests, stock, {})[guest.key]
        counted = held.counted.huge_pages
        size_kib = page_size_kib(counted)
        if size_kib is None:
            assert held.memory_mib == guest.memory_mib
            assert not (guest.huge_pages_backed and guest.memory_mib and stock.huge_memory_mib)
            continue
        assert held.memory_mib == 0
        assert {read_pages_key(key)[1] for key in counted} == {size_kib}
        spare_kib = size_kib * sum(counted.values()) - guest.memory_mib * 1024
        assert 0 <= spare_kib < size_kib * len(counted)
        assert all(("huge_pages", key) in stock.totals for key in counted)


@given(NODES, GUESTS, st.permutations(range(5)))
def test_it_stays_so_at_the_next_look_in_whatever_order(
    nodes: list[NumaNode], guests: list[Guest], order: list[int]
) -> None:
    stock = stock_of(nodes, ())
    first = holdings(guests, stock, {})
    counted = {holder_of(guest): first[guest.key].counted for guest in guests}
    again = [guests[number] for number in order if number < len(guests)]
    assert holdings(again, stock, counted) == first
    assert holdings(again, stock, {}) == first


@given(NODES, GUESTS)
def test_no_node_gives_more_pages_than_it_has_while_there_are_enough(
    nodes: list[NumaNode], guests: list[Guest]
) -> None:
    """Of guests without pins, which can be anywhere."""
    stock = stock_of(nodes, ())
    anywhere = [evolve(guest, pinned_core_ids=(), huge_pages_backed=True) for guest in guests]
    held = [one.counted.huge_pages for one in holdings(anywhere, stock, {}).values()]
    given_out = {key: sum(pages.get(key, 0) for pages in held) for pages in held for key in pages}
    there = {size: sum(n for (_, key), n in stock.totals.items() if read_pages_key(key)[1] == size)
             for size in (MIB2, GIB1)}  # fmt: skip
    for key, amount in given_out.items():
        size_kib = read_pages_key(key)[1]
        wanted = sum(n for other, n in given_out.items() if read_pages_key(other)[1] == size_kib)
        assert amount <= stock.totals["huge_pages", key] or wanted > there[size_kib]
