"""The most of each resource that a host can still take fits; one unit more is rejected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from regiond.placement.candidate import Candidate, CandidateHugePages, CandidateNode
from regiond.placement.requirements import DiskRequirement, PinRequirement, Requirements
from tests.unit.support import candidates
from tests.unit.support.candidates import evaluated, storage_pool

GIB_KIB = 1024 * 1024
HOST = evolve(candidates.HOST, cores=10, memory_mib=10_001, storage_pools=(storage_pool(free_gb=20),))
SMALL = evolve(candidates.SMALL, cores=1, memory_mib=1)


def pages(free: int) -> CandidateNode:
    cores = tuple(range(5))
    one_gib = CandidateHugePages(size_kib=GIB_KIB, total=8, free=free)
    return CandidateNode(node_id=0, core_ids=cores, free_core_ids=cores, pages=(one_gib,))


TWO_NODES = (pages(3), evolve(pages(2), node_id=1, core_ids=tuple(range(5, 10)), free_core_ids=(6, 8, 9)))


def cores(count: int) -> Requirements:
    return evolve(SMALL, cores=count)


def memory(mib: int) -> Requirements:
    return evolve(SMALL, memory_mib=mib)


def disks(*sizes_bytes: int) -> Requirements:
    return evolve(SMALL, disks=tuple(DiskRequirement(label="", size_bytes=size, tags=()) for size in sizes_bytes))


def first_disk(size_bytes: int) -> Requirements:
    return disks(size_bytes)


def second_disk(size_bytes: int) -> Requirements:
    return disks(8 * 10**9, size_bytes)


def huge_pages(count: int) -> Requirements:
    return evolve(SMALL, memory_mib=1024 * count, huge_pages=True)


def huge_pages_of_one_node(count: int) -> Requirements:
    return evolve(huge_pages(count), one_numa_node=True)


def huge_pages_beside_a_pin(count: int) -> Requirements:
    return evolve(huge_pages(count), pins=PinRequirement(core_ids=(8,)))


def pinned_cores(count: int) -> Requirements:
    return evolve(SMALL, cores=count, pins=PinRequirement(count=count))


@pytest.mark.parametrize(
    ("required", "most", "host"),
    [
        (cores, 10, HOST),
        (cores, 4, evolve(HOST, cores_claimed=6)),
        (cores, 7, evolve(HOST, reserved_cores=3)),
        (cores, 2, evolve(HOST, reserved_cores=3, cores_claimed=5)),
        (cores, 2, evolve(HOST, cpu_over_commit_ratio=0.29)),  # floor(2.9)
        (cores, 9, evolve(HOST, cpu_over_commit_ratio=0.99)),
        (cores, 3, evolve(HOST, cpu_over_commit_ratio=1.19, cores_claimed=8)),  # floor(11.9) - 8
        (cores, 10, evolve(HOST, cpu_over_commit_ratio=4.0, cores_claimed=30)),
        (cores, 9, evolve(HOST, cpu_over_commit_ratio=4.0, cores_claimed=31)),
        (cores, 10, evolve(HOST, cpu_over_commit_ratio=4.0)),  # no more than the host has
        (memory, 10_001, HOST),
        (memory, 2_001, evolve(HOST, memory_mib_claimed=8_000)),
        (memory, 9_901, evolve(HOST, reserved_memory_mib=100)),
        (memory, 1_809, evolve(HOST, huge_memory_mib=8_192)),
        (memory, 709, evolve(HOST, huge_memory_mib=8_192, reserved_memory_mib=100, memory_mib_claimed=1_000)),
        (memory, 2_900, evolve(HOST, memory_over_commit_ratio=0.29)),  # floor(2900.29)
        (memory, 5_000, evolve(HOST, memory_over_commit_ratio=0.5)),  # floor(5000.5)
        (memory, 1, evolve(HOST, memory_over_commit_ratio=0.5, memory_mib_claimed=4_999)),
        (memory, 1_001, evolve(HOST, memory_over_commit_ratio=1.1, memory_mib_claimed=10_000)),  # floor(11001.1)
        (memory, 10_001, evolve(HOST, memory_over_commit_ratio=1.5)),
        (first_disk, 20 * 10**9, HOST),
        (first_disk, 1, evolve(HOST, storage_pools=(evolve(storage_pool(), free_bytes=1),))),
        (second_disk, 12 * 10**9, HOST),
        (second_disk, 20 * 10**9, evolve(HOST, storage_pools=(*HOST.storage_pools, storage_pool(2, "b", free_gb=20)))),
        (huge_pages, 5, evolve(HOST, nodes=TWO_NODES)),
        (huge_pages_of_one_node, 3, evolve(HOST, nodes=TWO_NODES)),
        (huge_pages_beside_a_pin, 2, evolve(HOST, nodes=TWO_NODES)),
        (pinned_cores, 5, evolve(HOST, nodes=TWO_NODES)),
        (pinned_cores, 3, evolve(HOST, nodes=TWO_NODES[1:])),
    ],
)
def test_the_most_that_is_free_fits_and_one_more_does_not(
    required: Callable[[int], Requirements], most: int, host: Candidate
) -> None:
    assert evaluated(required(most), host).reasons == ()
    (reason,) = evaluated(required(most + 1), host).reasons
    assert reason.startswith("needs ")


@pytest.mark.parametrize(
    ("required", "host"),
    [
        (cores, evolve(HOST, cores_claimed=10)),
        (cores, evolve(HOST, cores_claimed=11)),  # after the ratio was lowered
        (cores, evolve(HOST, reserved_cores=10)),
        (cores, evolve(HOST, cores=1, cpu_over_commit_ratio=0.99)),
        (memory, evolve(HOST, memory_mib_claimed=10_001)),
        (memory, evolve(HOST, memory_mib_claimed=10_002)),
        (memory, evolve(HOST, huge_memory_mib=10_001)),
        (memory, evolve(HOST, memory_mib=1, memory_over_commit_ratio=0.99)),
        (first_disk, evolve(HOST, storage_pools=(evolve(storage_pool(), free_bytes=0),))),
        (huge_pages, evolve(HOST, nodes=(pages(0),))),
        (huge_pages, evolve(HOST, nodes=(pages(-1),))),  # more are claimed than there are
        (pinned_cores, evolve(HOST, nodes=(evolve(pages(1), free_core_ids=()),))),
    ],
)
def test_a_host_with_nothing_free_takes_not_one_unit(required: Callable[[int], Requirements], host: Candidate) -> None:
    (reason,) = evaluated(required(1), host).reasons
    assert reason.startswith("needs ")


@pytest.mark.parametrize(("required_mhz", "fits"), [(2399, True), (2400, True), (2401, False)])
def test_a_host_needs_the_cpu_speed_exactly(required_mhz: int, *, fits: bool) -> None:
    assert evaluated(evolve(SMALL, cpu_speed_mhz=required_mhz), evolve(HOST, cpu_speed_mhz=2400)).fits is fits
