"""Cores and huge pages of a host: which ones a machine gets, and what it is told when there are none."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.values import NicKind
from regiond.placement.cores import pick_cores, ranges
from regiond.placement.model import (
    HostOffer,
    InterfaceOffer,
    NodeOffer,
    PagesOffer,
    PagesPlace,
    PinWish,
    PoolOffer,
    Verdict,
    Wish,
)
from regiond.placement.place import place
from regiond.placement.storage_text import parse_storage

GIB_KIB, MIB_KIB = 1024 * 1024, 1024


def node(node_id: int, free: str, *, threads: int = 2, pages: tuple[PagesOffer, ...] = ()) -> NodeOffer:
    """Eight cores; `free` marks them with `x`, threads of one core beside each other."""
    ids = tuple(range(node_id * 8, node_id * 8 + len(free)))
    return NodeOffer(
        node_id=node_id,
        core_ids=ids,
        free_core_ids=tuple(core_id for core_id, mark in zip(ids, free, strict=True) if mark == "x"),
        siblings=tuple(ids[start : start + threads] for start in range(0, len(ids), threads)) if threads > 1 else (),
        pages=pages,
    )


def gib(total: int, free: int) -> PagesOffer:
    return PagesOffer(size_kib=GIB_KIB, total=total, free=free)


def small(total: int, free: int) -> PagesOffer:
    return PagesOffer(size_kib=2 * MIB_KIB, total=total, free=free)


HOST = HostOffer(
    id=1,
    name="a",
    state="ready",
    reachable=True,
    architecture="amd64",
    cores=16,
    memory_mib=65536,
    huge_memory_mib=8192,
    storage_pools=(PoolOffer(id=1, pool_key="k", name="default", total_bytes=10**12, room_bytes=10**12),),
    nodes=(node(0, "xxxxxxxx", pages=(gib(4, 2),)), node(1, "xxxxxxxx", pages=(gib(4, 4),))),
    interfaces=(InterfaceOffer(id=1, name="default", kind=NicKind.NETWORK, type="bridge"),),
)
WISH = Wish(cores=4, memory_mib=4096, disks=parse_storage("8"))


def judged(wish: Wish, host: HostOffer) -> Verdict:
    placement = place(wish, [host])
    return placement.chosen or placement.refused[0]


def pinned(count: int) -> Wish:
    return evolve(WISH, cores=count, pins=PinWish(count=count))


@pytest.mark.parametrize(
    ("free", "threads", "count", "picked"),
    [
        ("xxxxxxxx", 2, 4, (0, 1, 2, 3)),
        (".xxxxxxx", 2, 4, (2, 3, 4, 5)),  # the half-used core is left alone
        (".xxxxxxx", 2, 3, (1, 2, 3)),  # and is what an odd rest is of
        ("xxxxxxxx", 2, 3, (0, 1, 2)),
        (".x.xxx.x", 2, 4, (1, 3, 4, 5)),
        (".x.x.x.x", 2, 3, (1, 3, 5)),
        ("..xx.xxx", 4, 3, (5, 6, 7)),  # the core that the rest fills, not the first
        ("...xxxxx", 4, 2, (4, 5)),  # one core broken rather than two used
        (".xxx...x", 1, 3, (1, 2, 3)),
    ],
)
def test_threads_of_a_core_stay_together(free: str, threads: int, count: int, picked: tuple[int, ...]) -> None:
    assert pick_cores(node(0, free, threads=threads), count) == picked


def test_the_node_with_the_fewest_free_cores_that_are_enough_is_taken() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxxxxx"), node(1, "xxxx...."), node(2, "xxx.....")))
    assert judged(pinned(4), host).pinned_core_ids == (8, 9, 10, 11)
    assert judged(pinned(5), host).pinned_core_ids == (0, 1, 2, 3, 4)
    assert judged(pinned(4), host).numa_node_ids == ()  # general memory is bound to no node


@pytest.mark.parametrize(
    ("pins", "one_node", "reason"),
    [
        (PinWish(core_ids=(2, 3)), False, None),
        (PinWish(core_ids=(2, 5)), False, "pinned cores: 2,5 asked, 5 is taken"),
        (PinWish(core_ids=(5, 6, 7)), False, "pinned cores: 5,6,7 asked, 5, 6 and 7 are taken"),
        (PinWish(core_ids=(99,)), False, "pinned cores: 99 asked, core 99 does not exist, the host has 0-15"),
        (PinWish(core_ids=(2, 9)), True, "pinned cores: 2,9 asked of one node, 2 is of node 0, 9 is of node 1"),
        (PinWish(count=6), False, "pinned cores: 6 on one node asked, 5 of 8 free on node 0, 4 of 8 on node 1"),
    ],
)
def test_pins_that_cannot_be_had_say_why(pins: PinWish, one_node: bool, reason: str | None) -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxx..."), node(1, ".x.x.x.x")))
    wish = evolve(WISH, cores=1, pins=pins, one_numa_node=one_node)
    assert judged(wish, host).reasons == (() if reason is None else (reason,))


def test_a_host_whose_cores_are_not_known_pins_none() -> None:
    verdict = judged(pinned(2), evolve(HOST, nodes=()))
    assert verdict.reasons == ("pinned cores: 2 on one node asked, the host does not tell which cores it has",)


def test_pages_come_from_the_nodes_of_the_pins_and_else_from_where_most_are_free() -> None:
    wish = evolve(WISH, huge_pages=True)
    five = evolve(wish, memory_mib=5120)
    assert judged(wish, HOST).pages == (PagesPlace(node_id=1, size_kib=GIB_KIB, pages=4),)
    assert judged(wish, HOST).numa_node_ids == (1,)
    assert [(one.node_id, one.pages) for one in judged(five, HOST).pages] == [(0, 1), (1, 4)]
    assert judged(evolve(wish, cores=1, pins=PinWish(core_ids=(0,))), HOST).reasons == (
        "huge pages: 4 of 1 GiB on the nodes of the pinned cores asked, 2 of 4 free on node 0",
    )
    assert judged(evolve(five, one_numa_node=True), HOST).reasons == (
        "huge pages: 5 of 1 GiB on one node asked, 2 of 4 free on node 0, 4 of 4 on node 1",
    )
    two = evolve(wish, memory_mib=2048, one_numa_node=True)
    assert judged(two, HOST).pages == (PagesPlace(node_id=0, size_kib=GIB_KIB, pages=2),)  # the big gap stays


def test_the_node_of_counted_pins_is_one_that_has_the_pages_too() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxx....", pages=(gib(4, 2),)), node(1, "xxxxxxxx", pages=(gib(4, 4),))))
    verdict = judged(evolve(pinned(4), huge_pages=True), host)
    assert (verdict.pinned_core_ids, verdict.numa_node_ids) == ((8, 9, 10, 11), (1,))
    assert judged(evolve(pinned(4), huge_pages=True, memory_mib=5120), host).reasons == (
        "huge pages: 5 of 1 GiB on one node with 4 free cores asked, 2 of 4 free on node 0, 4 of 4 on node 1",
    )


def test_the_smallest_size_of_page_that_divides_memory_and_has_room_is_taken() -> None:
    host = evolve(HOST, nodes=(node(0, "xxxxxxxx", pages=(small(1024, 600), gib(4, 4))),))
    wish = evolve(WISH, huge_pages=True, memory_mib=1024)
    assert judged(wish, host).pages == (PagesPlace(node_id=0, size_kib=2 * MIB_KIB, pages=512),)
    assert judged(evolve(wish, memory_mib=2048), host).pages == (PagesPlace(node_id=0, size_kib=GIB_KIB, pages=2),)
    asked = evolve(wish, huge_page_size_kib=GIB_KIB)
    assert judged(asked, host).pages == (PagesPlace(node_id=0, size_kib=GIB_KIB, pages=1),)
    assert judged(evolve(wish, memory_mib=8192), host).reasons == (
        "huge pages: 4096 of 2 MiB asked, 600 of 1024 free on node 0; 8 of 1 GiB asked, 4 of 4 free on node 0",
    )
    assert judged(evolve(asked, memory_mib=1536), host).reasons == (
        "huge pages: 1536 MiB asked, not a multiple of 1 GiB",
    )


def test_a_host_without_huge_pages_says_so() -> None:
    wish = evolve(WISH, huge_pages=True)
    bare = evolve(HOST, nodes=(node(0, "xxxxxxxx"),))
    assert judged(wish, bare).reasons == ("huge pages: 4096 MiB asked, the host has none",)
    sized = evolve(wish, huge_page_size_kib=GIB_KIB)
    assert judged(sized, bare).reasons == ("huge pages: 4 of 1 GiB asked, the host has none",)


def test_memory_in_huge_pages_and_the_reserve_are_not_for_other_machines() -> None:
    host = evolve(HOST, reserved_memory_mib=1024, reserved_cores=13, memory_mib_claimed=56000)
    assert judged(WISH, host).reasons == (
        "cores: 4 asked, 3 of (16 - 13 reserved) × 1.0 = 3 left",
        "memory: 4096 MiB asked, 320 of (65536 - 8192 in huge pages - 1024 reserved) × 1.0 = 56320 MiB left",
    )
    assert judged(evolve(WISH, cores=3, huge_pages=True), host).fits  # it needs no general memory
    generous = evolve(host, cpu_over_commit_ratio=4.0)
    assert judged(evolve(WISH, memory_mib=1), generous).reasons[0] == (
        "cores: 4 asked, 16 - 13 reserved are all that the host has"
    )


def test_ranges_are_short() -> None:
    assert [ranges(ids) for ids in ((), (3,), (0, 1, 2, 5, 7, 8))] == ["", "3", "0-2,5,7-8"]
