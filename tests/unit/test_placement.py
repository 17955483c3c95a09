"""Placement: who takes a machine, and what every other host lacked."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB
from common.values import NicKind
from regiond.placement.model import HostOffer, InterfaceOffer, PoolOffer, Wish, claimable
from regiond.placement.place import place
from regiond.placement.storage_text import DiskWish, parse_storage

ROOT = (DiskWish(label="root", size_bytes=8 * BYTES_PER_GB, tags=()),)
SMALL = Wish(cores=2, memory_mib=4096, disks=ROOT)


def pool(id_: int = 1, name: str = "default", total_gb: int = 100, room_gb: int | None = None) -> PoolOffer:
    return PoolOffer(
        id=id_,
        pool_key=name,
        name=name,
        total_bytes=total_gb * BYTES_PER_GB,
        room_bytes=(total_gb if room_gb is None else room_gb) * BYTES_PER_GB,
    )


HOST = HostOffer(
    id=1,
    name="a",
    state="ready",
    reachable=True,
    architecture="amd64",
    cores=4,
    memory_mib=12288,
    storage_pools=(pool(),),
    interfaces=(InterfaceOffer(id=1, name="default", kind=NicKind.NETWORK, type="bridge"),),
)


@pytest.mark.parametrize(
    ("total", "ratio", "allowed"),
    [(8, 1.0, 8), (8, 0.5, 4), (32, 10.0, 320), (128, 5.5, 704), (100, 0.29, 29), (7, 0, 0)],
)
def test_a_ratio_allows_the_floor_of_total_times_ratio(total: int, ratio: float, allowed: int) -> None:
    assert claimable(total, ratio) == allowed


def test_a_host_that_fits_is_chosen_with_a_pool_for_each_disk() -> None:
    placement = place(SMALL, [HOST])
    assert placement.chosen is not None
    assert placement.chosen.storage_pool_ids == (1,)


def test_every_lack_is_named_in_numbers() -> None:
    full = evolve(HOST, cores_claimed=4, memory_mib_claimed=9000, storage_pools=(pool(room_gb=5),))
    (verdict,) = place(SMALL, [full]).refused
    assert verdict.reasons == (
        "cores: 2 asked, 0 of 4 × 1.0 = 4 left",
        "memory: 4096 MiB asked, 3288 of 12288 × 1.0 = 12288 MiB left",
        "storage: a disk of 8.0 GB asked, 5.0 of 100.0 GB left in default",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cores": None, "memory_mib": None}, "unknown"),
        ({"state": "removing"}, "removed"),
        ({"reachable": False}, "no connected rack"),
        ({"architecture": "arm64"}, "arm64"),
        ({"storage_pools": ()}, "no storage pool"),
    ],
)
def test_an_unusable_host_says_why(change: dict[str, Any], reason: str) -> None:
    (verdict,) = place(evolve(SMALL, architecture="amd64"), [evolve(HOST, **change)]).refused
    assert reason in verdict.reasons[0]


def test_a_host_asked_for_by_name_may_be_out_of_reach_for_now() -> None:
    assert place(evolve(SMALL, host_id=1), [evolve(HOST, reachable=False)]).chosen is not None


def test_tags_that_name_a_pool_bind_the_disk_to_it() -> None:
    host = evolve(HOST, storage_pools=(pool(), pool(2, "fast", room_gb=1)), default_storage_pool_id=1)
    wish = evolve(SMALL, disks=parse_storage("8(fast)"))
    assert "left in fast" in place(wish, [host]).refused[0].reasons[0]


def test_without_a_naming_tag_the_default_pool_has_no_fallback() -> None:
    host = evolve(HOST, storage_pools=(pool(), pool(2, "small", room_gb=1)), default_storage_pool_id=2)
    assert "left in small" in place(SMALL, [host]).refused[0].reasons[0]


def test_earlier_disks_use_up_room_for_later_ones() -> None:
    host = evolve(HOST, storage_pools=(pool(room_gb=10), pool(2, "b", room_gb=10)))
    verdict = place(evolve(SMALL, disks=parse_storage("8,8")), [host]).chosen
    assert verdict is not None
    assert verdict.storage_pool_ids == (1, 2)


offers = st.builds(
    HostOffer,
    id=st.integers(1, 10**6),
    name=st.text(min_size=1, max_size=5),
    state=st.sampled_from(["pending", "ready", "unreachable", "removing"]),
    reachable=st.booleans(),
    architecture=st.sampled_from(["amd64", "arm64"]),
    cores=st.none() | st.integers(1, 64),
    memory_mib=st.none() | st.integers(1, 65536),
    cores_claimed=st.integers(0, 100),
    memory_mib_claimed=st.integers(0, 100000),
    cpu_over_commit_ratio=st.floats(0, 10),
    memory_over_commit_ratio=st.floats(0, 10),
    storage_pools=st.lists(
        st.builds(pool, id_=st.integers(1, 4), total_gb=st.just(50), room_gb=st.integers(0, 50)),
        unique_by=lambda made: made.id,
        max_size=3,
    ).map(tuple),
)
many_offers = st.lists(offers, unique_by=lambda offer: offer.id, max_size=6)


@given(hosts=many_offers, cores=st.integers(1, 64), memory_mib=st.integers(1, 65536), seed=st.randoms())
def test_any_order_of_hosts_gives_the_same_answer_and_nothing_over_commits(
    hosts: list[HostOffer], cores: int, memory_mib: int, seed: object
) -> None:
    wish = Wish(cores=cores, memory_mib=memory_mib, disks=ROOT)
    first = place(wish, hosts)
    assert place(wish, list(reversed(hosts))) == first
    assert {verdict.host_id for verdict in (*first.order, *first.refused)} == {host.id for host in hosts}
    assert all(verdict.reasons for verdict in first.refused)
    by_id = {host.id: host for host in hosts}
    for verdict in first.order:
        host = by_id[verdict.host_id]
        assert host.cores_claimed + cores <= claimable(host.cores or 0, host.cpu_over_commit_ratio)
        assert host.memory_mib_claimed + memory_mib <= claimable(host.memory_mib or 0, host.memory_over_commit_ratio)


def test_storage_text_orders_disks_as_clients_expect() -> None:
    wishes = parse_storage("root:8,data:100,fast:20(ssd)")
    assert [wish.size_bytes // BYTES_PER_GB for wish in wishes] == [8, 20, 100]


@pytest.mark.parametrize(
    "text", ["8()", "8gb", "8,", ",8", "1.2.3", "a-b:8", "8(x))", "8 ", "8,0", ".", "9" * 40, "8(a\0)"]
)
def test_bad_storage_text_is_refused_by_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_storage(text)
    assert list(caught.value.fields) == ["storage"]


@pytest.mark.parametrize("text", ["9" * 1_000_001, ",".join("1" * 10_000)])
def test_a_storage_text_that_is_too_long_to_mean_anything_is_refused_unread(text: str) -> None:
    with pytest.raises(InvalidRequest, match="16384 are the most"):
        parse_storage(text)


@given(st.text(alphabet="0123456789.:,()abz -", max_size=30))
def test_any_storage_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_storage(text)
