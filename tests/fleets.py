"""Small fleets and wishes at random, full of close calls: what fits by one unit, and what lacks one."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import evolve

from common.units import BYTES_PER_GB
from regiond.placement.model import ANY_HOST, HostFilter, HostOffer, PoolOffer, Wish
from regiond.placement.storage_text import DiskWish

ZONES = ("default", "east", "north")
POOLS = ("default", "lab", "web")
TAGS = ("gpu", "ssd", "virtual")
STORAGE_POOLS = ("bulk", "fast", "local")
RATIOS = (0.0, 0.29, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 2.5)
TENTH_GB = BYTES_PER_GB // 10


def fleet(random: Random, *, hosts: int) -> list[HostOffer]:
    """Hosts with the ids 1, 2, …; storage pools have ids of their own throughout, by host and then by pool."""
    return [_host(random, number) for number in range(1, hosts + 1)]


def wish(random: Random, *, hosts: int) -> Wish:
    """For a fleet of so many hosts."""
    disks = tuple(_disk(random, is_root=number == 0) for number in range(random.choice((1, 1, 2, 3))))
    return Wish(
        cores=random.choice((1, 2, 3, 6)),
        memory_mib=1024 * random.choice((1, 2, 3, 6)),
        disks=disks,
        architecture=random.choice((None, None, None, "amd64", "arm64")),
        cpu_speed_mhz=random.choice((None, None, None, 2400, 2401)),
        hosts=_filter(random, hosts),
    )


def _filter(random: Random, hosts: int) -> HostFilter:
    parts: dict[str, Any] = {
        "host_ids": frozenset(random.randint(1, hosts) for _ in range(hosts // 2 + 1)),
        "zones": _some(random, ZONES),
        "not_zones": _some(random, ZONES),
        "pools": _some(random, POOLS),
        "not_pools": _some(random, POOLS),
        "tags": _some(random, TAGS),
        "not_tags": _some(random, TAGS),
    }
    given = {name: part for name, part in parts.items() if random.randint(0, 11) == 0}
    return evolve(ANY_HOST, **given)


def _some(random: Random, names: tuple[str, ...]) -> tuple[str, ...]:
    first = random.choice(names)
    return (first,) if random.randint(0, 2) else tuple(dict.fromkeys((first, random.choice(names))))


def _disk(random: Random, *, is_root: bool) -> DiskWish:
    least = 0 if is_root else 1
    tags = _some(random, STORAGE_POOLS) if random.randint(0, 2) == 0 else ()
    return DiskWish(label="", size_bytes=TENTH_GB * random.randint(least, random.choice((20, 100))), tags=tags)


def _host(random: Random, number: int) -> HostOffer:
    known = random.randint(0, 14) > 0
    cores, memory_mib = random.randint(1, 16), 1024 * random.randint(1, 16)
    pools = (
        tuple(_pool(random, 10 * number + index) for index in range(random.choice((0, 1, 2, 2, 3, 3)))) if known else ()
    )
    return HostOffer(
        id=number,
        name=f"host-{number}",
        state="removing" if random.randint(0, 14) == 0 else "ready" if known else "pending",
        reachable=random.randint(0, 14) > 0,
        architecture=random.choice(("amd64", "amd64", "amd64", "arm64")) if known else None,
        cores=cores if known else None,
        memory_mib=memory_mib if known else None,
        cores_claimed=random.randint(0, random.choice((1, cores))) if known else 0,
        memory_mib_claimed=512 * random.randint(0, random.choice((2, 16))) if known else 0,
        cpu_over_commit_ratio=random.choice(RATIOS),
        memory_over_commit_ratio=random.choice(RATIOS),
        storage_pools=pools,
        default_storage_pool_id=random.choice(pools).id if pools and random.randint(0, 2) else None,
        cpu_speed_mhz=random.choice((None, 2400, 3000)) if known else None,
        zone=random.choice(ZONES),
        pool=random.choice(POOLS),
        tags=tuple(tag for tag in TAGS if random.randint(0, 1)),
    )


def _pool(random: Random, id_: int) -> PoolOffer:
    total_bytes = TENTH_GB * random.randint(1, 300)
    return PoolOffer(
        id=id_,
        pool_key=f"key-{id_}",
        name=random.choice(STORAGE_POOLS),
        total_bytes=total_bytes,
        room_bytes=max(0, total_bytes - TENTH_GB * random.randint(0, 100)),
    )
