"""What is used of each NUMA node: sums are those of the guests, whatever the nodes and pins."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkCard, NetworkPort
from common.values import HugePages, NumaNode
from regiond.api.encoding.numa import encode_node
from regiond.hosts.numa import NodeView, PlacedGuest, Share, view_of

GIB_KIB = 1024**2


def node(node_id: int, cores: range, memory_mib: int = 32768, *pages: HugePages) -> NumaNode:
    return NumaNode(node_id=node_id, core_ids=tuple(cores), memory_mib=memory_mib, huge_pages=pages)


def card(number: int, on: int | None, functions: int = 8) -> NetworkCard:
    return NetworkCard(numa_node=on, virtual_functions=functions, ports=(NetworkPort(name=f"sim{number}"),))


def guest(
    number: int, *pins: int, mib: int = 1000, ours: bool = False, huge: bool = False, ports: str = ""
) -> PlacedGuest:
    return PlacedGuest(
        id=number,
        ours=ours,
        memory_mib=mib,
        pinned_core_ids=frozenset(pins),
        huge_pages_backed=huge,
        ports=tuple(ports.split()),
    )


@st.composite
def servers(draw: st.DrawFn) -> tuple[list[NumaNode], list[NetworkCard]]:
    """Up to four nodes, with ids and cores in any order, and pages of up to two sizes."""
    count = draw(st.integers(1, 4))
    owner = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=24))
    pages = st.lists(
        st.builds(HugePages, size_kib=st.sampled_from([64, 2048, GIB_KIB]), total=st.integers(0, 8)),
        max_size=2, unique_by=lambda one: one.size_kib,
    )  # fmt: skip
    nodes = [
        NumaNode(
            node_id=number * 2,
            core_ids=tuple(core for core, at in enumerate(owner) if at == number),
            memory_mib=draw(st.integers(0, 65536)),
            huge_pages=tuple(draw(pages)),
        )
        for number in range(count)
    ]
    cards = [
        card(number, draw(st.sampled_from([*range(0, count * 2, 2), None])))
        for number in range(draw(st.integers(0, 3)))
    ]
    return draw(st.permutations(nodes)), cards


GUESTS = st.lists(
    st.builds(
        PlacedGuest,
        id=st.integers(1, 10**6),
        ours=st.booleans(),
        memory_mib=st.integers(0, 40000),
        pinned_core_ids=st.frozensets(st.integers(0, 30), max_size=8),
        huge_pages_backed=st.booleans(),
        ports=st.lists(st.sampled_from(["sim0", "sim1", "sim2", "elsewhere", ""]), max_size=3).map(tuple),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)


def shares(views: Iterable[NodeView]) -> list[Share]:
    return [
        share
        for view in views
        for share in (
            view.general_mib,
            *(pages.pages for pages in view.huge_pages),
            *(of.functions for of in view.cards),
        )
    ]


@given(servers(), GUESTS)
def test_what_is_free_and_what_is_used_is_what_there_is(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[PlacedGuest]
) -> None:
    views = view_of(*server, guests)
    assert [view.node_id for view in views] == sorted(one.node_id for one in server[0])
    for share in shares(views):
        assert share.free + share.used_by_ours + share.used_by_others == share.total
    for view in views:
        used = {*view.cores.used_by_ours, *view.cores.used_by_others}
        assert sorted([*view.cores.free, *used]) == list(view.cores.total)


@given(servers(), GUESTS)
def test_pins_and_memory_of_all_nodes_are_those_of_the_guests(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[PlacedGuest]
) -> None:
    nodes, _ = server
    views = view_of(*server, guests)
    there = {core for one in nodes for core in one.core_ids}
    general = [one for one in guests if not one.huge_pages_backed]
    for ours in (True, False):
        pins = {core for one in guests if one.ours is ours for core in one.pinned_core_ids}
        told = [view.cores.used_by_ours if ours else view.cores.used_by_others for view in views]
        assert {core for ids in told for core in ids} == pins & there
    used_mib = sum(view.general_mib.total - view.general_mib.free for view in views)
    least_mib = sum(pinned_mib(one, there) for one in general)
    assert least_mib <= used_mib <= sum(pinned_mib(one, there) for one in guests)
    if all(any(pages.total for pages in one.huge_pages) for one in nodes):
        assert used_mib == least_mib


def pinned_mib(one: PlacedGuest, there: set[int]) -> int:
    """What counts on any node: all of it, if all pins are cores that there are."""
    return one.memory_mib * len(one.pinned_core_ids & there) // max(1, len(one.pinned_core_ids))


@given(servers(), GUESTS)
def test_a_guest_counts_on_a_node_by_its_share_of_pins_there(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[PlacedGuest]
) -> None:
    for one in guests:
        for view in view_of(*server, [one]):
            pins = len(one.pinned_core_ids & {*view.cores.total})
            exact = one.memory_mib * Fraction(pins, max(1, len(one.pinned_core_ids)))
            pages = [(of.size_kib, of.pages.total - of.pages.free) for of in view.huge_pages]
            taken = sum(Fraction(size_kib * count, 1024) for size_kib, count in pages)
            general = view.general_mib.total - view.general_mib.free
            largest = max([Fraction(size_kib, 1024) for size_kib, count in pages if count], default=Fraction(0))
            assert exact - 1 < general + taken < exact + 1 + largest
            assert bool(pins) <= (one.id in view.guest_ids)


@given(servers(), GUESTS)
def test_the_order_of_nodes_and_guests_does_not_matter(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[PlacedGuest]
) -> None:
    nodes, cards = server
    assert view_of(nodes, cards, guests) == view_of(nodes[::-1], cards, guests[::-1])


def test_a_guest_on_two_nodes_takes_of_both_and_loses_no_mib() -> None:
    first, second = view_of([node(0, range(8)), node(1, range(8, 16))], [], [guest(1, 6, 7, 8, mib=1000, ours=True)])
    assert (first.cores.used_by_ours, second.cores.used_by_ours) == ((6, 7), (8,))
    assert (first.general_mib.used_by_ours, second.general_mib.used_by_ours) == (666, 334)
    assert (first.guest_ids, second.guest_ids) == ((1,), (1,))
    assert first.cores.free == (0, 1, 2, 3, 4, 5)


def test_huge_pages_are_taken_whole_and_are_no_general_memory() -> None:
    pages = HugePages(size_kib=GIB_KIB, total=8)
    (view,) = view_of([node(0, range(8), 32768, pages)], [], [guest(1, 0, mib=1025, huge=True), guest(2, 1, mib=500)])
    assert view.memory_mib == 32768
    assert view.general_mib == Share(total=24576, used_by_others=500)
    assert view.huge_pages[0].pages == Share(total=8, used_by_others=2)


def test_of_several_sizes_guests_take_the_smallest_that_there_are_pages_of() -> None:
    sizes = (HugePages(size_kib=64, total=0), HugePages(size_kib=GIB_KIB, total=4), HugePages(size_kib=2048, total=512))
    (view,) = view_of([node(0, range(2), 32768, *sizes)], [], [guest(1, 0, mib=3, huge=True, ours=True)])
    assert [of.pages.used_by_ours for of in view.huge_pages] == [0, 0, 2]


def test_where_no_huge_pages_are_known_a_guest_that_has_some_takes_general_memory() -> None:
    (view,) = view_of([node(0, range(2))], [], [guest(1, 0, mib=64, huge=True)])
    assert view.general_mib.used_by_others == 64


def test_a_guest_without_pins_counts_on_no_node() -> None:
    (view,) = view_of([node(0, range(2))], [], [guest(1, mib=64)])
    assert view.general_mib.used_by_others == 0
    assert view.guest_ids == ()


def test_a_core_with_two_guests_is_in_both_lists_and_not_free() -> None:
    (view,) = view_of([node(0, range(3))], [], [guest(1, 0, 1, ours=True), guest(2, 1)])
    assert (view.cores.used_by_ours, view.cores.used_by_others, view.cores.free) == ((0, 1), (1,), (2,))


def test_virtual_functions_are_those_of_the_card_whosever_port_is_named() -> None:
    nodes = [node(0, range(2)), node(1, range(2, 4))]
    cards = [card(0, 0), card(1, 1), card(2, None)]
    guests = [guest(1, ports="sim0 sim0 sim1", ours=True), guest(2, 2, ports="sim0"), guest(3, ports="unknown")]
    first, second = view_of(nodes, cards, guests)
    assert [of.functions for of in first.cards] == [Share(total=8, used_by_ours=2, used_by_others=1)]
    assert [of.functions for of in second.cards] == [Share(total=8, used_by_ours=1)]
    assert (first.guest_ids, second.guest_ids) == ((1, 2), (1, 2))


def test_a_card_of_a_server_with_one_node_is_there() -> None:
    (view,) = view_of([node(0, range(2))], [card(0, None)], [])
    assert [of.functions.free for of in view.cards] == [8]


def test_a_server_that_tells_no_nodes_has_none() -> None:
    assert view_of([], [card(0, 0)], [guest(1, 0)]) == ()


def test_the_api_counts_pages_and_says_their_size_in_bytes() -> None:
    pages = HugePages(size_kib=2048, total=4096)
    (view,) = view_of([node(0, range(2), 32768, pages)], [card(0, 0)], [guest(5, 0, mib=4, huge=True, ours=True)])
    assert encode_node(view) == {
        "node_id": 0,
        "cores": {"total": [0, 1], "used_by_ours": [0], "used_by_others": [], "free": [1], "siblings": []},
        "memory": {
            "total": 32768,
            "general": {"total": 24576, "used_by_ours": 0, "used_by_others": 0, "free": 24576},
            "hugepages": [
                {"page_size": 2 * 1024**2, "total": 4096, "used_by_ours": 2, "used_by_others": 0, "free": 4094}
            ],
        },
        "network_cards": [
            {
                "pci_address": None,
                "product": "",
                "ports": ["sim0"],
                "virtual_functions": {"total": 8, "used_by_ours": 0, "used_by_others": 0, "free": 8},
            }
        ],
        "virtual_machines": [5],
    }
