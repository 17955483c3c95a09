"""Placement against a brute-force oracle, which knows only what a host must have, and nothing of filters' order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import floor
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from regiond.placement.host_filters import NAMED_IN_REASON
from regiond.placement.model import ANY_HOST, HostFilter, HostOffer, PoolOffer, Wish
from regiond.placement.place import DEFAULT_ROOT_BYTES, place
from regiond.placement.storage_text import DiskWish
from tests.fleets import fleet, wish

HOSTS = 6
GB = 10**9


def claimable(total: int | None, ratio: float) -> int:
    return floor((total or 0) * Fraction(str(ratio)))


def may(wanted: HostFilter, host: HostOffer) -> bool:
    return all(
        (
            not wanted.host_ids or host.id in wanted.host_ids,
            not wanted.zones or host.zone in wanted.zones,
            host.zone not in wanted.not_zones,
            not wanted.pools or host.pool in wanted.pools,
            host.pool not in wanted.not_pools,
            set(wanted.tags) <= set(host.tags),
            not set(wanted.not_tags) & set(host.tags),
        )
    )


def size(disk: DiskWish) -> int:
    return disk.size_bytes or DEFAULT_ROOT_BYTES


def candidates(disk: DiskWish, host: HostOffer) -> list[PoolOffer]:
    """Where the rules let the disk be, in their order: vm-hosts.md, storage constraints."""
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return named or default or list(host.storage_pools)


def left(host: HostOffer, pool: PoolOffer, disks: tuple[DiskWish, ...], taken: tuple[PoolOffer, ...]) -> int:
    return pool.room_bytes - sum(size(disk) for disk, one in zip(disks, taken, strict=False) if one.id == pool.id)


def by_the_rules(host: HostOffer, disks: tuple[DiskWish, ...], tried: tuple[PoolOffer, ...]) -> bool:
    """Whether each disk of `tried` is in the first of its pools that has room, after the disks before it."""
    for number, (disk, pool) in enumerate(zip(disks, tried, strict=True)):
        roomy = [one for one in candidates(disk, host) if left(host, one, disks, tried[:number]) >= size(disk)]
        if not roomy or roomy[0].id != pool.id:
            return False
    return True


def storage(host: HostOffer, disks: tuple[DiskWish, ...]) -> tuple[PoolOffer, ...] | None:
    """Of all ways to spread the disks over the pools, the one that the rules allow."""
    every = product(host.storage_pools, repeat=len(disks))
    return next((tried for tried in every if by_the_rules(host, disks, tried)), None)


def takes(wanted: Wish, host: HostOffer) -> bool:
    cores, memory_mib = host.cores or 0, host.memory_mib or 0
    return all(
        (
            may(wanted.hosts, host),
            host.state != "removing",
            host.cores is not None,
            host.reachable,
            wanted.architecture in (None, host.architecture),
            wanted.cpu_speed_mhz is None or host.cpu_speed_mhz is None or wanted.cpu_speed_mhz <= host.cpu_speed_mhz,
            wanted.cores <= cores,
            host.cores_claimed + wanted.cores <= claimable(cores, host.cpu_over_commit_ratio),
            wanted.memory_mib <= memory_mib,
            host.memory_mib_claimed + wanted.memory_mib <= claimable(memory_mib, host.memory_over_commit_ratio),
            storage(host, wanted.disks) is not None,
        )
    )


@settings(max_examples=500)
@given(random=st.randoms(use_true_random=True))
def test_a_host_fits_exactly_when_the_oracle_says_so_and_every_refusal_is_true(random: Random) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), wish(random, hosts=HOSTS)
    placement = place(wanted, hosts)
    by_id = {host.id: host for host in hosts}
    assert {verdict.host_id for verdict in placement.order} == {host.id for host in hosts if takes(wanted, host)}
    assert len(placement.order) + len(placement.refused) == HOSTS
    for verdict in placement.order:
        pools = storage(by_id[verdict.host_id], wanted.disks)
        assert pools is not None
        assert verdict.storage_pool_ids == tuple(pool.id for pool in pools)
        assert [disk.storage_pool for disk in verdict.disks] == [pool.name for pool in pools]
    for verdict in placement.refused:
        for reason in verdict.reasons:
            assert is_true(reason, wanted, by_id[verdict.host_id]), (reason, wanted, by_id[verdict.host_id])


# Whether a reason is true -------------------------------------------------------------------------------------------


def is_true(reason: str, wanted: Wish, host: HostOffer) -> bool:
    """With every name and number in it. A reason of no known form is not."""
    what, _, rest = reason.partition(": ")
    check = CHECKS.get(what)
    return check(rest, wanted, host) if check is not None else whole_is_true(reason, wanted, host)


def whole_is_true(reason: str, wanted: Wish, host: HostOffer) -> bool:
    asked = len(wanted.hosts.host_ids)
    known = {
        f"not one of the hosts that were asked for, {asked} in number": host.id not in wanted.hosts.host_ids,
        "it is being removed": host.state == "removing",
        "its capacity is unknown until its first good discovery": host.cores is None,
        "no connected rack reaches it": not host.reachable,
    }
    return known.get(reason, False)


def cores_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    return compute_is_true(rest, wanted.cores, host.cores or 0, host.cpu_over_commit_ratio, host.cores_claimed)


def memory_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    total, ratio = host.memory_mib or 0, host.memory_over_commit_ratio
    return compute_is_true(rest.replace(" MiB", ""), wanted.memory_mib, total, ratio, host.memory_mib_claimed)


def compute_is_true(rest: str, asked: int, total: int, ratio: float, claimed: int) -> bool:
    most = claimable(total, ratio)
    free = max(0, most - claimed)
    if asked > free:
        return rest == f"{asked} asked, {free} of {total} × {ratio} = {most} left"
    return asked > total and rest == f"{asked} asked, {total} are all that the host has"


def storage_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    """It names the first disk without a pool, and what the disks before it have left in each pool that it may have."""
    number = next(n for n in range(len(wanted.disks)) if storage(host, wanted.disks[: n + 1]) is None)
    disk, before = wanted.disks[number], storage(host, wanted.disks[:number])
    assert before is not None
    pools = candidates(disk, host)
    asked = re.match(r"a disk of ([0-9.]+) GB asked, ", rest)
    if asked is None or not near(asked[1], size(disk)):
        return False
    if not pools:
        return rest.endswith(", the host has no storage pool")
    said = re.findall(r"([0-9.]+) of ([0-9.]+) GB left in (\w+)", rest)
    rooms = [left(host, pool, wanted.disks, before) for pool in pools]
    return [name for *_, name in said] == [pool.name for pool in pools] and all(
        near(free, room) and near(total, pool.total_bytes) and Decimal(free) < Decimal(asked[1])
        for (free, total, _), pool, room in zip(said, pools, rooms, strict=True)
    )


def near(said: str, size_bytes: int) -> bool:
    """As near as its digits can be."""
    digits = len(said.partition(".")[2])
    return abs(Decimal(said) - Decimal(size_bytes) / GB) <= Decimal(10) ** -digits / 2


def zone_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    return group_is_true(rest, host.zone, wanted.hosts.zones, wanted.hosts.not_zones)


def pool_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    return group_is_true(rest, host.pool, wanted.hosts.pools, wanted.hosts.not_pools)


def group_is_true(rest: str, own: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> bool:
    if rest == f"{' or '.join(wanted)} asked, the host is in {own}":
        return own not in wanted
    return own in unwanted and rest == f"not {' or '.join(unwanted)} asked, the host is in {own}"


def tags_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    tags, not_tags = wanted.hosts.tags, wanted.hosts.not_tags
    lacking = [tag for tag in tags if tag not in host.tags]
    carried = [tag for tag in not_tags if tag in host.tags]
    if lacking:
        return rest == f"{' and '.join(tags)} asked, the host has no {' and no '.join(lacking)}"
    return bool(carried) and rest == f"not {' or '.join(not_tags)} asked, the host has {' and '.join(carried)}"


def architecture_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    differs = wanted.architecture not in (None, host.architecture)
    return differs and rest == f"{wanted.architecture} asked, the host is {host.architecture}"


def speed_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    slower = (wanted.cpu_speed_mhz or 0) > (host.cpu_speed_mhz or 0) > 0
    return slower and rest == f"{wanted.cpu_speed_mhz} MHz asked, the host has {host.cpu_speed_mhz} MHz"


CHECKS: Mapping[str, Callable[[str, Wish, HostOffer], bool]] = {
    "zone": zone_is_true,
    "resource pool": pool_is_true,
    "tags": tags_are_true,
    "architecture": architecture_is_true,
    "CPU speed": speed_is_true,
    "cores": cores_are_true,
    "memory": memory_is_true,
    "storage": storage_is_true,
}


# Examples -----------------------------------------------------------------------------------------------------------

HOST = HostOffer(
    id=1,
    name="a",
    state="ready",
    reachable=True,
    architecture="amd64",
    cores=4,
    memory_mib=8192,
    storage_pools=(PoolOffer(id=1, pool_key="k", name="default", total_bytes=100 * GB, room_bytes=8 * GB),),
    zone="east",
    pool="lab",
    tags=("ssd",),
)
SMALL = Wish(cores=1, memory_mib=1024, disks=(DiskWish(label="root", size_bytes=8 * GB, tags=()),))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (HostFilter(host_ids=frozenset({2, 3})), "not one of the hosts that were asked for, 2 in number"),
        (HostFilter(zones=("north", "west")), "zone: north or west asked, the host is in east"),
        (HostFilter(not_zones=("east",)), "zone: not east asked, the host is in east"),
        (HostFilter(pools=("web",)), "resource pool: web asked, the host is in lab"),
        (HostFilter(tags=("ssd", "gpu")), "tags: ssd and gpu asked, the host has no gpu"),
        (HostFilter(not_tags=("gpu", "ssd")), "tags: not gpu or ssd asked, the host has ssd"),
        (HostFilter(zones=("west",), tags=("gpu",)), "zone: west asked, the host is in east"),
        (
            HostFilter(zones=tuple("abcdefg")),
            "zone: a or b or c or d or e or 2 more asked, the host is in east",
        ),
    ],
)
def test_a_host_that_was_not_asked_for_says_what_was_and_what_it_is(wanted: HostFilter, reason: str) -> None:
    (verdict,) = place(evolve(SMALL, hosts=wanted), [HOST]).refused
    assert verdict.reasons == (reason,)
    assert NAMED_IN_REASON == 5


def test_filters_that_the_host_passes_leave_it_in() -> None:
    wanted = HostFilter(host_ids=frozenset({1}), zones=("west", "east"), not_pools=("web",), tags=("ssd",))
    assert place(evolve(SMALL, hosts=wanted), [HOST]).chosen is not None
    assert place(evolve(SMALL, hosts=ANY_HOST), [HOST]).chosen is not None


def test_no_machine_is_larger_than_its_host_whatever_the_ratios() -> None:
    host = evolve(HOST, cpu_over_commit_ratio=10.0, memory_over_commit_ratio=10.0)
    (verdict,) = place(evolve(SMALL, cores=5, memory_mib=8193), [host]).refused
    assert verdict.reasons == (
        "cores: 5 asked, 4 are all that the host has",
        "memory: 8193 MiB asked, 8192 MiB are all that the host has",
    )


def test_a_lack_of_a_few_bytes_is_told_with_digits_enough_to_see_it() -> None:
    wanted = evolve(SMALL, disks=(DiskWish(label="", size_bytes=8 * GB + 40_000_000, tags=()),))
    (verdict,) = place(wanted, [HOST]).refused
    assert verdict.reasons == ("storage: a disk of 8.04 GB asked, 8.00 of 100.00 GB left in default",)


def test_the_explanation_names_host_and_storage_pools() -> None:
    explained = place(SMALL, [HOST, evolve(HOST, id=2, name="b", zone="west", cores_claimed=4)]).as_explanation()
    assert explained == {
        "chosen": "a",
        "chosen_id": 1,
        "disks": [{"label": "root", "size": 8 * GB, "tags": [], "storage_pool": "default"}],
        "fitting": [{"host": "a", "host_id": 1, "score": 0.75}],
        "refused": [{"host": "b", "host_id": 2, "reasons": ["cores: 1 asked, 0 of 4 × 1.0 = 4 left"]}],
        "left_out": [],
    }
