"""What is used of each NUMA node: sums are those of the guests, whatever the nodes and pins."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkCard, NetworkPort
from common.values import HugePages, NumaNode
from regiond.api.encoding.numa import encode_node
from regiond.hosts.numa import Holding, NodeView, Share, view_of
from regiond.ledger.model import Counted, read_pages_key

GIB_KIB = 1024**2


def node(node_id: int, cores: range, memory_mib: int = 32768, *pages: HugePages) -> NumaNode:
    return NumaNode(node_id=node_id, core_ids=tuple(cores), memory_mib=memory_mib, huge_pages=pages)


def card(number: int, on: int | None, functions: int = 8) -> NetworkCard:
    return NetworkCard(numa_node=on, virtual_functions=functions, ports=(NetworkPort(name=f"sim{number}"),))


def guest(number: int, *pins: int, mib: int = 0, ours: bool = False, pages: str = "", functions: str = "") -> Holding:
    """`pages` and `functions` as `KEY=AMOUNT KEY=AMOUNT`."""
    return Holding(
        guest_id=number,
        ours=ours,
        general_mib=mib,
        counted=Counted(pinned_core_ids=pins, huge_pages=amounts(pages), functions=amounts(functions)),
    )


def amounts(text: str) -> dict[str, int]:
    return {key: int(amount) for key, _, amount in (one.partition("=") for one in text.split())}


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


SIZES_KIB = (64, 2048, GIB_KIB)
GUESTS = st.lists(
    st.builds(
        Holding,
        guest_id=st.integers(1, 10**6),
        ours=st.booleans(),
        general_mib=st.integers(0, 40000),
        counted=st.builds(
            Counted,
            pinned_core_ids=st.frozensets(st.integers(0, 30), max_size=8),
            huge_pages=st.dictionaries(
                st.sampled_from([f"{node_id}/{size}" for node_id in (0, 2, 4, 6) for size in SIZES_KIB]),
                st.integers(1, 9),
                max_size=3,
            ),
            functions=st.dictionaries(st.sampled_from(["sim0", "sim1", "sim2", "elsewhere"]), st.integers(1, 3)),
        ),
    ),
    max_size=6,
    unique_by=lambda one: one.guest_id,
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
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[Holding]
) -> None:
    views = view_of(*server, guests)
    assert [view.node_id for view in views] == sorted(one.node_id for one in server[0])
    for share in shares(views):
        assert share.free + share.used_by_ours + share.used_by_others == share.total
    for view in views:
        used = {*view.cores.used_by_ours, *view.cores.used_by_others}
        assert sorted([*view.cores.free, *used]) == list(view.cores.total)


@given(servers(), GUESTS)
def test_what_is_used_of_all_nodes_is_the_sum_of_what_is_held(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[Holding]
) -> None:
    nodes, _ = server
    views = view_of(*server, guests)
    there = {core for one in nodes for core in one.core_ids}
    shown = {port.name for view in views for of in view.cards for port in of.card.ports}
    for ours in (True, False):
        held = [one.counted for one in guests if one.ours is ours]
        told = [view.cores.used_by_ours if ours else view.cores.used_by_others for view in views]
        assert {core for ids in told for core in ids} == {core for one in held for core in one.pinned_core_ids} & there
        functions = [used(of.functions, ours=ours) for view in views for of in view.cards]
        assert sum(functions) == sum(n for one in held for port, n in one.functions.items() if port in shown)
        for view in views:
            pages = {of.size_kib: used(of.pages, ours=ours) for of in view.huge_pages}
            for size_kib in {*SIZES_KIB, *pages}:
                key = f"{view.node_id}/{size_kib}"
                assert pages.get(size_kib, 0) == sum(one.huge_pages.get(key, 0) for one in held)
    used_mib = sum(view.general_mib.total - view.general_mib.free for view in views)
    assert used_mib == sum(pinned_mib(one, there) for one in guests)


def used(share: Share, *, ours: bool) -> int:
    return share.used_by_ours if ours else share.used_by_others


def pinned_mib(one: Holding, there: set[int]) -> int:
    """What counts on any node: all of it, if all pins are cores that there are."""
    pins = {*one.counted.pinned_core_ids}
    return one.general_mib * len(pins & there) // max(1, len(pins))


@given(servers(), GUESTS)
def test_a_guest_counts_on_a_node_by_its_share_of_pins_there(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[Holding]
) -> None:
    for one in guests:
        for view in view_of(*server, [one]):
            pins = {*one.counted.pinned_core_ids}
            here = len(pins & {*view.cores.total})
            exact = one.general_mib * Fraction(here, max(1, len(pins)))
            assert exact - 1 < view.general_mib.total - view.general_mib.free < exact + 1
            on_pages = any(read_pages_key(key)[0] == view.node_id for key in one.counted.huge_pages)
            assert bool(here or on_pages) <= (one.guest_id in view.guest_ids)


@given(servers(), GUESTS)
def test_the_order_of_nodes_and_guests_does_not_matter(
    server: tuple[list[NumaNode], list[NetworkCard]], guests: list[Holding]
) -> None:
    nodes, cards = server
    assert view_of(nodes, cards, guests) == view_of(nodes[::-1], cards, guests[::-1])


def test_a_guest_on_two_nodes_takes_of_both_and_loses_no_mib() -> None:
    first, second = view_of([node(0, range(8)), node(1, range(8, 16))], [], [guest(1, 6, 7, 8, mib=1000, ours=True)])
    assert (first.cores.used_by_ours, second.cores.used_by_ours) == ((6, 7), (8,))
    assert (first.general_mib.used_by_ours, second.general_mib.used_by_ours) == (666, 334)
    assert (first.guest_ids, second.guest_ids) == ((1,), (1,))
    assert first.cores.free == (0, 1, 2, 3, 4, 5)


def test_huge_pages_are_no_general_memory() -> None:
    pages = HugePages(size_kib=GIB_KIB, total=8)
    guests = [guest(1, 0, pages=f"0/{GIB_KIB}=2"), guest(2, 1, mib=500)]
    (view,) = view_of([node(0, range(8), 32768, pages)], [], guests)
    assert view.memory_mib == 32768
    assert view.general_mib == Share(total=24576, used_by_others=500)
    assert view.huge_pages[0].pages == Share(total=8, used_by_others=2)


def test_pages_that_are_claimed_and_not_there_any_more_are_told() -> None:
    (view,) = view_of([node(0, range(2))], [], [guest(1, 0, pages="0/2048=3", ours=True)])
    assert [(of.size_kib, of.pages) for of in view.huge_pages] == [(2048, Share(total=0, used_by_ours=3))]


def test_a_machine_whose_guest_is_not_made_yet_counts_and_is_no_guest() -> None:
    making = Holding(guest_id=None, ours=True, counted=Counted(pinned_core_ids=(1,)))
    (view,) = view_of([node(0, range(3))], [], [making])
    assert (view.cores.used_by_ours, view.guest_ids) == ((1,), ())


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
    guests = [
        guest(1, functions="sim0=2 sim1=1", ours=True),
        guest(2, 2, functions="sim0=1"),
        guest(3, functions="x=1"),
    ]
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
    (view,) = view_of([node(0, range(2), 32768, pages)], [card(0, 0)], [guest(5, 0, pages="0/2048=2", ours=True)])
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
