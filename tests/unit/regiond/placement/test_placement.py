"""Placement: which host is chosen, and why the others are rejected."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.units import BYTES_PER_GB
from regiond.placement.candidate import Candidate, claimable
from regiond.placement.ranking import place
from regiond.placement.requirements import Requirements
from regiond.placement.storage_parser import parse_storage
from tests.unit.support.candidates import HOST, SMALL, evaluated, storage_pool


@pytest.mark.parametrize(
    ("total", "ratio", "allowed"),
    [(8, 1.0, 8), (8, 0.5, 4), (32, 10.0, 320), (128, 5.5, 704), (100, 0.29, 29), (7, 0, 0)],
)
def test_claimable_is_the_floor_of_total_times_ratio(total: int, ratio: float, allowed: int) -> None:
    assert claimable(total, ratio) == allowed


def test_a_host_that_fits_is_chosen_with_a_pool_for_each_disk() -> None:
    evaluation = evaluated(SMALL, HOST)
    assert (evaluation.fits, evaluation.storage_pool_ids) == (True, (1,))


def test_every_shortage_is_reported_with_numbers() -> None:
    full = evolve(HOST, cores_claimed=4, memory_mib_claimed=9000, storage_pools=(storage_pool(free_gb=5),))
    assert evaluated(SMALL, full).reasons == (
        "needs 2 cores, 0 free (4 cores × ratio 1.0, 4 used)",
        "needs 4096 MiB of memory, 3288 free (12288 MiB × ratio 1.0, 9000 used)",
        "needs a disk of 8.0 GB, 5.0 of 100.0 GB free in default",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cores": None, "memory_mib": None}, "unknown"),
        ({"state": "removing"}, "is being removed"),
        ({"reachable": False}, "no connected rack"),
        ({"architecture": "arm64"}, "arm64"),
        ({"storage_pools": ()}, "no storage pool"),
    ],
)
def test_an_unusable_host_is_rejected_with_a_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in evaluated(evolve(SMALL, architecture="amd64"), evolve(HOST, **change)).reasons[0]


def test_a_named_host_may_be_unreachable() -> None:
    assert evaluated(evolve(SMALL, host_id=1), evolve(HOST, reachable=False)).fits


def test_a_tag_that_names_a_pool_binds_the_disk_to_it() -> None:
    host = evolve(HOST, storage_pools=(storage_pool(), storage_pool(2, "fast", free_gb=1)), default_storage_pool_id=1)
    requirements = evolve(SMALL, disks=parse_storage("8(fast)"))
    assert "free in fast" in evaluated(requirements, host).reasons[0]


def test_a_demanded_pool_is_the_pool_of_the_disk_or_a_reason() -> None:
    host = evolve(HOST, storage_pools=(storage_pool(), storage_pool(2, "fast")), default_storage_pool_id=1)
    assert evaluated(evolve(SMALL, disks=parse_storage("8,data:8(pool:fast,ssd)")), host).storage_pool_ids == (1, 2)
    refused = evaluated(evolve(SMALL, disks=parse_storage("8(pool:fst)")), host)
    assert refused.reasons == (f"needs the storage pool fst, the host has {host.storage_pools[0].name}, fast",)


def test_a_tag_that_names_no_pool_is_noted() -> None:
    host = evolve(HOST, storage_pools=(storage_pool(), storage_pool(2, "fast")), default_storage_pool_id=1)
    pools = f"{host.storage_pools[0].name}, fast"
    (note,) = evaluated(evolve(SMALL, disks=parse_storage("8,data:8(fst,fast)")), host).notes
    assert note == (
        f"The tag fst of the disk data names no storage pool of {host.name} ({pools}): it only labels the disk. "
        "To demand a pool: pool:fst."
    )
    for storage in ("", "8", "8(fast)", "8(pool:fast)"):
        assert evaluated(evolve(SMALL, disks=parse_storage(storage)), host).notes == ()
    (note,) = evaluated(evolve(SMALL, disks=parse_storage("8.5(a,b)")), host).notes
    assert note.startswith("The tags a, b of a disk of 8.5 GB name no storage pool of ")


def test_a_demand_for_a_pool_needs_its_name() -> None:
    with pytest.raises(InvalidRequest, match="needs the name of a storage pool"):
        parse_storage("8(pool:)")


def test_the_default_pool_has_no_fallback() -> None:
    host = evolve(HOST, storage_pools=(storage_pool(), storage_pool(2, "small", free_gb=1)), default_storage_pool_id=2)
    assert "free in small" in evaluated(SMALL, host).reasons[0]


def test_earlier_disks_reduce_the_space_for_later_ones() -> None:
    host = evolve(HOST, storage_pools=(storage_pool(free_gb=10), storage_pool(2, "b", free_gb=10)))
    assert evaluated(evolve(SMALL, disks=parse_storage("8,8")), host).storage_pool_ids == (1, 2)


def test_disks_in_pools_that_share_storage_take_from_the_same_space() -> None:
    pools = (storage_pool(free_gb=10), storage_pool(2, "b", free_gb=10))
    host = evolve(HOST, storage_pools=tuple(evolve(pool, storage_id="one") for pool in pools))
    (reason,) = evaluated(evolve(SMALL, disks=parse_storage("8,8(pool:b)")), host).reasons
    assert reason.endswith(f"2.0 of 100.0 GB free in b (shares its space with {pools[0].name})")
    assert evaluated(evolve(SMALL, disks=parse_storage("8,2(pool:b)")), host).storage_pool_ids == (1, 2)


candidates = st.builds(
    Candidate,
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
        st.builds(storage_pool, id_=st.integers(1, 4), total_gb=st.just(50), free_gb=st.integers(0, 50)),
        unique_by=lambda pool: pool.id,
        max_size=3,
    ).map(tuple),
)
many_candidates = st.lists(candidates, unique_by=lambda host: host.id, max_size=6)


@given(hosts=many_candidates, cores=st.integers(1, 64), memory_mib=st.integers(1, 65536), seed=st.randoms())
def test_placement_ignores_host_order_and_never_overcommits(
    hosts: list[Candidate], cores: int, memory_mib: int, seed: object
) -> None:
    requirements = Requirements(cores=cores, memory_mib=memory_mib, disks=SMALL.disks)
    first = place(requirements, hosts)
    assert place(requirements, list(reversed(hosts))) == first
    assert {evaluation.host_id for evaluation in (*first.ranked, *first.rejected)} == {host.id for host in hosts}
    assert all(evaluation.reasons for evaluation in first.rejected)
    by_id = {host.id: host for host in hosts}
    for evaluation in first.ranked:
        host = by_id[evaluation.host_id]
        assert host.cores_claimed + cores <= claimable(host.cores or 0, host.cpu_over_commit_ratio)
        assert host.memory_mib_claimed + memory_mib <= claimable(host.memory_mib or 0, host.memory_over_commit_ratio)


def test_disks_with_more_tags_come_first() -> None:
    disks = parse_storage("root:8,data:100,fast:20(ssd)")
    assert [disk.size_bytes // BYTES_PER_GB for disk in disks] == [8, 20, 100]


@pytest.mark.parametrize(
    "text", ["8()", "8gb", "8,", ",8", "1.2.3", "a-b:8", "8(x))", "8 ", "8,0", ".", "9" * 40, "8(a\0)"]
)
def test_invalid_storage_text_is_rejected_by_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_storage(text)
    assert list(caught.value.fields) == ["storage"]


@pytest.mark.parametrize("text", ["9" * 1_000_001, ",".join("1" * 10_000)])
def test_a_too_long_storage_text_is_rejected_without_parsing(text: str) -> None:
    with pytest.raises(InvalidRequest, match="the limit is 16384"):
        parse_storage(text)


@given(st.text(alphabet="0123456789.:,()abz -", max_size=30))
def test_any_storage_text_parses_or_is_rejected(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_storage(text)


def test_a_pool_that_is_not_available_is_passed_over_and_named() -> None:
    lost, usable = evolve(storage_pool(2, "fast"), status="unavailable"), storage_pool(3, "slow", free_gb=9)
    assert evaluated(SMALL, evolve(HOST, storage_pools=(lost, usable))).storage_pool_ids == (3,)
    wanted = evolve(SMALL, disks=parse_storage("root:10"))
    assert evaluated(wanted, evolve(HOST, storage_pools=(lost, usable))).reasons == (
        "needs a disk of 10.0 GB, the storage pool fast is unavailable, 9.0 of 100.0 GB free in slow",
    )
    default = evolve(HOST, storage_pools=(lost, usable), default_storage_pool_id=2)
    assert evaluated(SMALL, default).reasons == ("needs a disk of 8.0 GB, the storage pool fast is unavailable",)
