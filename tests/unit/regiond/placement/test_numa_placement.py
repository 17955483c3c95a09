"""Pinned cores and huge pages: which ones a machine gets, and the reasons if a host lacks them."""

from __future__ import annotations

import pytest
from attrs import evolve

from regiond.placement.candidate import CandidateHugePages, CandidateNode
from regiond.placement.cpu_pinning import choose_cores, core_ranges
from regiond.placement.model import HugePagesPlacement
from regiond.placement.requirements import PinRequirement, Requirements
from regiond.placement.storage_parser import parse_storage
from tests.unit.support import candidates
from tests.unit.support.candidates import evaluated

GIB_KIB, MIB_KIB = 1024 * 1024, 1024


def node(node_id: int, free: str, *, threads: int = 2, pages: tuple[CandidateHugePages, ...] = ()) -> CandidateNode:
    """Eight cores; `free` has an `x` for each free one; threads of a core are adjacent."""
    ids = tuple(range(node_id * 8, node_id * 8 + len(free)))
    return CandidateNode(
        node_id=node_id,
        core_ids=ids,
        free_core_ids=tuple(core_id for core_id, marker in zip(ids, free, strict=True) if marker == "x"),
        siblings=tuple(ids[start : start + threads] for start in range(0, len(ids), threads)) if threads > 1 else (),
        pages=pages,
    )


def gib(total: int, free: int) -> CandidateHugePages:
    return CandidateHugePages(size_kib=GIB_KIB, total=total, free=free)


def small(total: int, free: int) -> CandidateHugePages:
    return CandidateHugePages(size_kib=2 * MIB_KIB, total=total, free=free)


HOST = evolve(
    candidates.HOST,
    cores=16,
    memory_mib=65536,
    huge_memory_mib=8192,
    nodes=(node(0, "xxxxxxxx", pages=(gib(4, 2),)), node(1, "xxxxxxxx", pages=(gib(4, 4),))),
)
REQUIREMENTS = Requirements(cores=4, memory_mib=4096, disks=parse_storage("8"))


def pinned(count: int) -> Requirements:
    return evolve(REQUIREMENTS, cores=count, pins=PinRequirement(count=count))


@pytest.mark.parametrize(
    ("free", "threads", "count", "chosen"),
    [
        ("xxxxxxxx", 2, 4, (0, 1, 2, 3)),
        (".xxxxxxx", 2, 4, (2, 3, 4, 5)),  # avoids the partly used core
        (".xxxxxxx", 2, 3, (1, 2, 3)),  # unless the remainder is odd
        ("xxxxxxxx", 2, 3, (0, 1, 2)),
        (".x.xxx.x", 2, 4, (1, 3, 4, 5)),
        (".x.x.x.x", 2, 3, (1, 3, 5)),
        ("..xx.xxx", 4, 3, (5, 6, 7)),  # the core that the remainder fills, not the first
        ("...xxxxx", 4, 2, (4, 5)),  # splits one core rather than use two
        (".xxx...x", 1, 3, (1, 2, 3)),
    ],
)
def test_threads_of_a_core_are_assigned_to_one_guest(
    free: str, threads: int, count: int, chosen: tuple[int, ...]
) -> None:
    assert choose_cores(node(0, free, threads=threads), count) == chosen


def test_the_node_with_the_fewest_sufficient_cores_is_chosen() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxxxxx"), node(1, "xxxx...."), node(2, "xxx.....")))
    assert evaluated(pinned(4), host).pinned_core_ids == (8, 9, 10, 11)
    assert evaluated(pinned(5), host).pinned_core_ids == (0, 1, 2, 3, 4)
    assert evaluated(pinned(4), host).numa_node_ids == ()  # general memory is bound to no node


@pytest.mark.parametrize(
    ("pins", "one_node", "reason"),
    [
        (PinRequirement(core_ids=(2, 3)), False, None),
        (PinRequirement(core_ids=(2, 5)), False, "core 5 is already pinned"),
        (PinRequirement(core_ids=(5, 6, 7)), False, "cores 5, 6 and 7 are already pinned"),
        (PinRequirement(core_ids=(99,)), False, "core 99 does not exist, the host has 0-15"),
        (
            PinRequirement(core_ids=(2, 9)),
            True,
            "pinned cores are not on one NUMA node: core 2 is on node 0, core 9 is on node 1",
        ),
        (
            PinRequirement(count=6),
            False,
            "needs 6 unpinned cores on one NUMA node, 5 of 8 free on node 0, 4 of 8 on node 1",
        ),
    ],
)
def test_unavailable_pins_are_rejected_with_a_reason(pins: PinRequirement, one_node: bool, reason: str | None) -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxx..."), node(1, ".x.x.x.x")))
    requirements = evolve(REQUIREMENTS, cores=1, pins=pins, one_numa_node=one_node)
    assert evaluated(requirements, host).reasons == (() if reason is None else (reason,))


def test_a_host_that_reports_no_cores_cannot_pin() -> None:
    evaluation = evaluated(pinned(2), evolve(HOST, nodes=()))
    assert evaluation.reasons == ("needs 2 unpinned cores on one NUMA node, the host does not report its cores",)


def test_pages_come_from_the_pinned_nodes_or_the_freest_ones() -> None:
    requirements = evolve(REQUIREMENTS, huge_pages=True)
    five = evolve(requirements, memory_mib=5120)
    assert evaluated(requirements, HOST).pages == (HugePagesPlacement(node_id=1, size_kib=GIB_KIB, pages=4),)
    assert evaluated(requirements, HOST).numa_node_ids == (1,)
    assert [(one.node_id, one.pages) for one in evaluated(five, HOST).pages] == [(0, 1), (1, 4)]
    assert evaluated(evolve(requirements, cores=1, pins=PinRequirement(core_ids=(0,))), HOST).reasons == (
        "needs 4 huge pages of 1 GiB on the NUMA nodes of the pinned cores, 2 of 4 free on node 0",
    )
    assert evaluated(evolve(five, one_numa_node=True), HOST).reasons == (
        "needs 5 huge pages of 1 GiB on one NUMA node, 2 of 4 free on node 0, 4 of 4 on node 1",
    )
    two = evolve(requirements, memory_mib=2048, one_numa_node=True)
    # The larger gap on node 1 remains.
    assert evaluated(two, HOST).pages == (HugePagesPlacement(node_id=0, size_kib=GIB_KIB, pages=2),)


def test_counted_pins_use_a_node_that_also_has_the_pages() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxx....", pages=(gib(4, 2),)), node(1, "xxxxxxxx", pages=(gib(4, 4),))))
    evaluation = evaluated(evolve(pinned(4), huge_pages=True), host)
    assert (evaluation.pinned_core_ids, evaluation.numa_node_ids) == ((8, 9, 10, 11), (1,))
    assert evaluated(evolve(pinned(4), huge_pages=True, memory_mib=5120), host).reasons == (
        "needs 5 huge pages of 1 GiB on one NUMA node with 4 free cores, 2 of 4 free on node 0, 4 of 4 on node 1",
    )


def test_the_smallest_sufficient_page_size_is_chosen() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxxxxx", pages=(small(1024, 600), gib(4, 4))),))
    requirements = evolve(REQUIREMENTS, huge_pages=True, memory_mib=1024)
    assert evaluated(requirements, host).pages == (HugePagesPlacement(node_id=0, size_kib=2 * MIB_KIB, pages=512),)
    assert evaluated(evolve(requirements, memory_mib=2048), host).pages == (
        HugePagesPlacement(node_id=0, size_kib=GIB_KIB, pages=2),
    )
    sized_request = evolve(requirements, huge_page_size_kib=GIB_KIB)
    assert evaluated(sized_request, host).pages == (HugePagesPlacement(node_id=0, size_kib=GIB_KIB, pages=1),)
    assert evaluated(evolve(requirements, memory_mib=8192), host).reasons == (
        "needs 4096 huge pages of 2 MiB, 600 of 1024 free on node 0; or 8 huge pages of 1 GiB, 4 of 4 free on node 0",
    )
    assert evaluated(evolve(sized_request, memory_mib=1536), host).reasons == (
        "needs 1536 MiB in huge pages, which is not a multiple of 1 GiB",
    )


def test_a_host_without_huge_pages_is_rejected() -> None:
    requirements = evolve(REQUIREMENTS, huge_pages=True)
    bare = evolve(HOST, nodes=(node(0, "xxxxxxxx"),))
    assert evaluated(requirements, bare).reasons == ("needs 4096 MiB in huge pages, the host has none",)
    sized = evolve(requirements, huge_page_size_kib=GIB_KIB)
    assert evaluated(sized, bare).reasons == ("needs 4 huge pages of 1 GiB, the host has none",)


def test_huge_pages_and_the_reserve_are_no_general_memory() -> None:
    host = evolve(HOST, reserved_memory_mib=1024, reserved_cores=13, memory_mib_claimed=56000)
    assert evaluated(REQUIREMENTS, host).reasons == (
        "needs 4 cores, 3 free (3 cores × ratio 1.0, 0 used, 13 reserved)",
        "needs 4096 MiB of memory, 320 free (56320 MiB × ratio 1.0, 56000 used, 8192 in huge pages, 1024 reserved)",
    )
    assert evaluated(evolve(REQUIREMENTS, cores=3, huge_pages=True), host).fits  # it needs no general memory
    generous = evolve(host, cpu_over_commit_ratio=4.0)
    assert evaluated(evolve(REQUIREMENTS, memory_mib=1), generous).reasons[0] == (
        "needs 4 cores, the host has only 3, 13 reserved"
    )


def test_core_ids_are_shown_as_ranges() -> None:
    assert [core_ranges(ids) for ids in ((), (3,), (0, 1, 2, 5, 7, 8))] == ["", "3", "0-2,5,7-8"]
