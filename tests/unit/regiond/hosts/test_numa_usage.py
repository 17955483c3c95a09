"""Usage of NUMA nodes equals the sum of the guests' allocations, for any nodes and pins."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from common.hardware import NetworkDevice, NetworkPort
from common.values import HugePages, NumaNode
from regiond.api.serializers.vm_hosts.capacity import NUMA_NODE_JSON
from regiond.hosts.numa.numa_model import NumaNodeView, PagesUsage, Usage
from regiond.hosts.numa.numa_usage import NumaAllocation, numa_usage
from regiond.ledger.model import DiscreteResources, read_pages_key

GIB_KIB = 1024**2
SIZES_KIB = (64, 2048, GIB_KIB)
Server = tuple[list[NumaNode], list[NetworkDevice]]


def node(node_id: int, cores: range, memory_mib: int = 32768, *pages: HugePages) -> NumaNode:
    return NumaNode(node_id=node_id, core_ids=tuple(cores), memory_mib=memory_mib, huge_pages=pages)


def device(number: int, on: int | None, functions: int = 8) -> NetworkDevice:
    return NetworkDevice(numa_node=on, virtual_functions=functions, ports=(NetworkPort(name=f"sim{number}"),))


def guest(
    number: int, *pins: int, mib: int = 0, is_machine: bool = False, pages: str = "", functions: str = ""
) -> NumaAllocation:
    """`pages` and `functions` as `KEY=AMOUNT KEY=AMOUNT`."""
    return NumaAllocation(
        guest_id=number,
        is_machine=is_machine,
        general_mib=mib,
        discrete=DiscreteResources(pinned_core_ids=pins, huge_pages=amounts(pages), functions=amounts(functions)),
    )


def amounts(text: str) -> dict[str, int]:
    return {key: int(amount) for key, _, amount in (one.partition("=") for one in text.split())}


@st.composite
def servers(draw: st.DrawFn) -> Server:
    """Up to four nodes, with ids and cores in any order, and pages of up to two sizes."""
    count = draw(st.integers(1, 4))
    owner = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=24))
    pages = st.lists(
        st.builds(HugePages, size_kib=st.sampled_from(SIZES_KIB), total=st.integers(0, 8)),
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
    devices = [
        device(number, draw(st.sampled_from([*range(0, count * 2, 2), None])))
        for number in range(draw(st.integers(0, 3)))
    ]
    return draw(st.permutations(nodes)), devices


GUESTS = st.lists(
    st.builds(
        NumaAllocation,
        guest_id=st.integers(1, 10**6),
        is_machine=st.booleans(),
        cores=st.integers(0, 64),
        general_mib=st.integers(0, 40000),
        discrete=st.builds(
            DiscreteResources,
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


def shares(view: NumaNodeView) -> list[Usage]:
    pages, functions = [of.pages for of in view.huge_pages], [of.functions for of in view.network_devices]
    return [view.general_mib, *pages, *functions]


@given(servers(), GUESTS)
def test_free_and_used_add_up_to_the_total(server: Server, guests: list[NumaAllocation]) -> None:
    views = numa_usage(*server, guests)
    assert [view.node_id for view in views] == sorted(one.node_id for one in server[0])
    for view in views:
        for share in shares(view):
            assert share.free + share.used_by_ours + share.used_by_others == share.total
        used = {*view.cores.used_by_ours, *view.cores.used_by_others}
        assert sorted([*view.cores.free, *used]) == list(view.cores.total)


@given(servers(), GUESTS)
def test_usage_of_the_nodes_is_the_sum_of_the_allocations(server: Server, guests: list[NumaAllocation]) -> None:
    nodes, _ = server
    views = numa_usage(*server, guests)
    existing = {core for one in nodes for core in one.core_ids}
    shown = {port.name for view in views for of in view.network_devices for port in of.device.ports}
    for is_machine in (True, False):
        allocations = [one.discrete for one in guests if one.is_machine is is_machine]
        pinned = [view.cores.used_by_ours if is_machine else view.cores.used_by_others for view in views]
        assert {core for ids in pinned for core in ids} == {
            core for one in allocations for core in one.pinned_core_ids
        } & existing
        functions = [used(of.functions, is_machine=is_machine) for view in views for of in view.network_devices]
        assert sum(functions) == sum(n for one in allocations for port, n in one.functions.items() if port in shown)
        for view in views:
            pages = {of.size_kib: used(of.pages, is_machine=is_machine) for of in view.huge_pages}
            for size_kib in {*SIZES_KIB, *pages}:
                key = f"{view.node_id}/{size_kib}"
                assert pages.get(size_kib, 0) == sum(one.huge_pages.get(key, 0) for one in allocations)
    used_mib = sum(view.general_mib.total - view.general_mib.free for view in views)
    assert used_mib == sum(pinned_mib(one, existing) for one in guests)


def used(share: Usage, *, is_machine: bool) -> int:
    return share.used_by_ours if is_machine else share.used_by_others


def pinned_mib(one: NumaAllocation, existing: set[int]) -> int:
    """The general memory that counts on any node: all of it if all pinned cores exist."""
    pins = {*one.discrete.pinned_core_ids}
    return one.general_mib * len(pins & existing) // max(1, len(pins))


@given(servers(), GUESTS)
def test_general_memory_counts_in_proportion_to_pins(server: Server, guests: list[NumaAllocation]) -> None:
    for one in guests:
        for view in numa_usage(*server, [one]):
            pins = {*one.discrete.pinned_core_ids}
            here = len(pins & {*view.cores.total})
            exact = one.general_mib * Fraction(here, max(1, len(pins)))
            assert exact - 1 < view.general_mib.total - view.general_mib.free < exact + 1
            on_pages = any(read_pages_key(key)[0] == view.node_id for key in one.discrete.huge_pages)
            assert bool(here or on_pages) <= (one.guest_id in view.guest_ids)


@given(servers(), GUESTS)
def test_the_order_of_nodes_and_guests_does_not_matter(server: Server, guests: list[NumaAllocation]) -> None:
    nodes, devices = server
    assert numa_usage(nodes, devices, guests) == numa_usage(nodes[::-1], devices, guests[::-1])


def test_memory_of_a_guest_on_two_nodes_is_split_without_loss() -> None:
    first, second = numa_usage(
        [node(0, range(8)), node(1, range(8, 16))], [], [guest(1, 6, 7, 8, mib=1000, is_machine=True)]
    )
    assert (first.cores.used_by_ours, second.cores.used_by_ours) == ((6, 7), (8,))
    assert (first.general_mib.used_by_ours, second.general_mib.used_by_ours) == (666, 334)
    assert (first.guest_ids, second.guest_ids) == ((1,), (1,))
    assert first.cores.free == (0, 1, 2, 3, 4, 5)


def test_huge_pages_are_not_general_memory() -> None:
    pages = HugePages(size_kib=GIB_KIB, total=8)
    guests = [guest(1, 0, pages=f"0/{GIB_KIB}=2"), guest(2, 1, mib=500)]
    (view,) = numa_usage([node(0, range(8), 32768, pages)], [], guests)
    assert view.memory_mib == 32768
    assert view.general_mib == Usage(total=24576, used_by_others=500)
    assert view.huge_pages[0].pages == Usage(total=8, used_by_others=2)


def test_claimed_pages_that_no_longer_exist_are_shown() -> None:
    (view,) = numa_usage([node(0, range(2))], [], [guest(1, 0, pages="0/2048=3", is_machine=True)])
    assert view.huge_pages == (PagesUsage(size_kib=2048, pages=Usage(total=0, used_by_ours=3)),)


def test_a_machine_without_a_guest_counts_but_is_not_listed() -> None:
    composing = NumaAllocation(guest_id=None, is_machine=True, discrete=DiscreteResources(pinned_core_ids=(1,)))
    (view,) = numa_usage([node(0, range(3))], [], [composing])
    assert (view.cores.used_by_ours, view.guest_ids) == ((1,), ())


def test_a_guest_without_pins_counts_on_no_node() -> None:
    (view,) = numa_usage([node(0, range(2))], [], [guest(1, mib=64)])
    assert view.general_mib.used_by_others == 0
    assert view.guest_ids == ()


def test_a_core_with_two_guests_is_in_both_lists_and_not_free() -> None:
    (view,) = numa_usage([node(0, range(3))], [], [guest(1, 0, 1, is_machine=True), guest(2, 1)])
    assert (view.cores.used_by_ours, view.cores.used_by_others, view.cores.free) == ((0, 1), (1,), (2,))


def test_virtual_functions_count_on_the_device_of_any_named_port() -> None:
    nodes = [node(0, range(2)), node(1, range(2, 4))]
    devices = [device(0, 0), device(1, 1), device(2, None)]
    guests = [
        guest(1, functions="sim0=2 sim1=1", is_machine=True),
        guest(2, 2, functions="sim0=1"),
        guest(3, functions="x=1"),
    ]
    first, second = numa_usage(nodes, devices, guests)
    assert [of.functions for of in first.network_devices] == [Usage(total=8, used_by_ours=2, used_by_others=1)]
    assert [of.functions for of in second.network_devices] == [Usage(total=8, used_by_ours=1)]
    assert (first.guest_ids, second.guest_ids) == ((1, 2), (1, 2))


def test_a_device_without_a_node_is_on_the_only_node() -> None:
    (view,) = numa_usage([node(0, range(2))], [device(0, None)], [])
    assert [of.functions.free for of in view.network_devices] == [8]


def test_a_server_without_reported_nodes_has_none() -> None:
    assert numa_usage([], [device(0, 0)], [guest(1, 0)]) == ()


def test_the_api_shows_page_sizes_in_bytes() -> None:
    pages, machine = HugePages(size_kib=2048, total=4096), guest(5, 0, pages="0/2048=2", is_machine=True)
    (view,) = numa_usage([node(0, range(2), 32768, pages)], [device(0, 0)], [machine])
    unused = {"used_by_ours": 0, "used_by_others": 0}
    assert NUMA_NODE_JSON.encode(view) == {
        "node_id": 0,
        "cores": {"total": [0, 1], "used_by_ours": [0], "used_by_others": [], "free": [1], "siblings": []},
        "memory": {
            "total": 32768,
            "general": {**unused, "total": 24576, "free": 24576},
            "hugepages": [{**unused, "page_size": 2 * 1024**2, "total": 4096, "used_by_ours": 2, "free": 4094}],
        },
        "network_devices": [
            {
                "pci_address": None,
                "product": "",
                "ports": ["sim0"],
                "virtual_functions": {**unused, "total": 8, "free": 8},
            }
        ],
        "virtual_machines": [5],
        "server": {
            "cores": {**unused, "total": 2, "free": 2},
            "memory": {**unused, "total": 24576, "free": 24576},
            "capacity": None,
        },
    }


@given(servers(), GUESTS)
def test_every_node_shows_what_all_guests_claim_of_the_server(server: Server, guests: list[NumaAllocation]) -> None:
    views = numa_usage(*server, guests)
    for view in views:
        assert view.server == views[0].server
        cores, mib = view.server.cores, view.server.general_mib
        assert (cores.total, mib.total) == (
            sum(len(one.cores.total) for one in views),
            sum(one.general_mib.total for one in views),
        )
        for is_machine in (True, False):
            claimed = [one for one in guests if one.is_machine is is_machine]
            assert used(cores, is_machine=is_machine) == sum(one.cores for one in claimed)
            assert used(mib, is_machine=is_machine) == sum(one.general_mib for one in claimed)
