"""Random small fleets and requirements with many edge cases: one unit too few or just enough."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import evolve

from common.units import BYTES_PER_GB
from regiond.placement.candidate import Candidate, CandidateHugePages, CandidateNode, CandidateStoragePool
from regiond.placement.requirements import ANY_HOST, DiskRequirement, HostFilter, PinRequirement, Requirements
from tests.placement.fleet_networks import interfaces, nics
from tests.placement.oracle import claimable, cores_of, memory_of

ZONES = ("default", "east", "north")
POOLS = ("default", "lab", "web")
TAGS = ("gpu", "ssd", "virtual")
DRIVERS = ("virsh", "lxd")
ARCHITECTURES = ("amd64", "arm64")
STORAGE_POOLS = ("bulk", "fast", "local")
RATIOS = (0.0, 0.29, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 2.5)
IN_MAINTENANCE = "since 2026-01-02 03:04 UTC by ann: disks"
TENTH_GB = BYTES_PER_GB // 10
# A machine needs few pages of these sizes, so the oracle can try every assignment.
PAGE_SIZES_KIB = (512 * 1024, 768 * 1024, 1024 * 1024)


def fleet(random: Random, *, hosts: int) -> list[Candidate]:
    """Hosts with the ids 1, 2, …; storage pool ids are unique across hosts."""
    return [_host(random, number) for number in range(1, hosts + 1)]


def requirements(random: Random, *, hosts: int) -> Requirements:
    """Random requirements for a fleet of `hosts` hosts."""
    disks = tuple(_disk(random, is_root=number == 0) for number in range(random.choice((1, 1, 2, 3))))
    pins = _pins(random)
    huge_pages = random.randint(0, 3) == 0
    return Requirements(
        cores=random.choice((1, 2, 3, 6)) if pins is None else pins.count or len(pins.core_ids),
        memory_mib=1024 * random.choice((1, 2, 3, 6)),
        disks=disks,
        architecture=random.choice((None, None, None, "amd64", "arm64")),
        cpu_speed_mhz=random.choice((None, None, None, 2400, 2401)),
        hosts=_filter(random, hosts),
        nics=nics(random),
        pins=pins,
        huge_pages=huge_pages,
        huge_page_size_kib=random.choice((None, None, *PAGE_SIZES_KIB)) if huge_pages else None,
        one_numa_node=random.randint(0, 1) == 0 if huge_pages or pins is not None else False,
    )


def at_a_boundary(random: Random, wanted: Requirements, hosts: Sequence[Candidate]) -> Requirements:
    """The requirements, half of the amounts replaced by what one of the hosts has free, or by one unit more or less."""
    host = random.choice(hosts)
    cores, memory_mib = cores_of(host), memory_of(host)
    cores_free = min(cores, claimable(cores, host.cpu_over_commit_ratio) - host.cores_claimed)
    free_mib = min(memory_mib, claimable(memory_mib, host.memory_over_commit_ratio) - host.memory_mib_claimed)
    if wanted.pins is None and random.randint(0, 1):
        wanted = evolve(wanted, cores=_near(random, cores_free))
    if not wanted.huge_pages and random.randint(0, 1):
        wanted = evolve(wanted, memory_mib=_near(random, free_mib))
    if host.storage_pools and random.randint(0, 1):
        number, pool = random.randrange(len(wanted.disks)), random.choice(host.storage_pools)
        before = sum(disk.size_bytes for disk in wanted.disks[:number])
        disk = evolve(wanted.disks[number], size_bytes=_near(random, pool.free_bytes - random.choice((0, before))))
        wanted = evolve(wanted, disks=(*wanted.disks[:number], disk, *wanted.disks[number + 1 :]))
    return wanted


def _near(random: Random, amount: int) -> int:
    return max(1, amount + random.choice((-1, 0, 1)))


def _pins(random: Random) -> PinRequirement | None:
    kind = random.randint(0, 5)
    if kind == 0:
        return PinRequirement(core_ids=tuple(random.sample(range(random.choice((4, 10, 17))), random.randint(1, 3))))
    return PinRequirement(count=random.choice((1, 2, 3, 4, 6))) if kind == 1 else None


def _filter(random: Random, hosts: int) -> HostFilter:
    parts: dict[str, Any] = {
        "host_ids": frozenset(random.randint(1, hosts) for _ in range(hosts // 2 + 1)),
        "not_host_ids": frozenset({random.randint(1, hosts)}),
        "drivers": _some(random, DRIVERS),
        "not_drivers": _some(random, DRIVERS),
        "architectures": _some(random, ARCHITECTURES),
        "not_architectures": _some(random, ARCHITECTURES),
        "zones": _some(random, ZONES),
        "not_zones": _some(random, ZONES),
        "pools": _some(random, POOLS),
        "not_pools": _some(random, POOLS),
        "tags": _some(random, TAGS),
        "not_tags": _some(random, TAGS),
    }
    given = {name: part for name, part in parts.items() if random.randint(0, 17) == 0}
    return evolve(ANY_HOST, **given)


def _some(random: Random, names: tuple[str, ...]) -> tuple[str, ...]:
    first = random.choice(names)
    return (first,) if random.randint(0, 2) else tuple(dict.fromkeys((first, random.choice(names))))


def _disk(random: Random, *, is_root: bool) -> DiskRequirement:
    least = 0 if is_root else 1
    tags = _some(random, STORAGE_POOLS) if random.randint(0, 2) == 0 else ()
    pools = _some(random, STORAGE_POOLS) if random.randint(0, 9) == 0 else ()
    size_bytes = TENTH_GB * random.randint(least, random.choice((20, 100)))
    return DiskRequirement(label="", size_bytes=size_bytes, tags=tags, pools=pools)


def _host(random: Random, number: int) -> Candidate:
    known = random.randint(0, 14) > 0
    cores, memory_mib = random.randint(random.choice((1, 6)), 16), 1024 * random.randint(random.choice((1, 8)), 16)
    reserved = random.randint(0, 3) == 0
    pools = (
        tuple(_pool(random, 10 * number + index) for index in range(random.choice((0, 1, 2, 2, 3, 3, 3, 3))))
        if known
        else ()
    )
    return Candidate(
        id=number,
        name=f"host-{number}",
        state="removing" if random.randint(0, 14) == 0 else "ready" if known else "pending",
        maintenance=IN_MAINTENANCE if number % 17 == 5 else None,
        reachable=random.randint(0, 14) > 0,
        architecture=random.choice(("amd64", "amd64", "amd64", "arm64")) if known else None,
        cores=cores if known else None,
        memory_mib=memory_mib if known else None,
        cores_claimed=random.randint(0, random.choice((1, 1, cores))) if known else 0,
        memory_mib_claimed=512 * random.randint(0, random.choice((2, 2, 16))) if known else 0,
        cpu_over_commit_ratio=random.choice(RATIOS),
        memory_over_commit_ratio=random.choice(RATIOS),
        storage_pools=pools,
        default_storage_pool_id=random.choice(pools).id if pools and random.randint(0, 2) else None,
        cpu_speed_mhz=random.choice((None, 2400, 3000)) if known else None,
        zone=random.choice(ZONES),
        pool=random.choice(POOLS),
        tags=tuple(tag for tag in TAGS if random.randint(0, 1)),
        driver=random.choice(DRIVERS),
        default_macvlan_mode=random.choice((None, "private")),
        reserved_cores=random.randint(1, 4) if reserved else 0,
        reserved_memory_mib=512 * random.randint(0, 4) if reserved else 0,
        huge_memory_mib=512 * random.randint(0, random.choice((4, memory_mib // 512)))
        if known and random.randint(0, 3) == 0
        else 0,
        nodes=_nodes(random, cores) if known and random.randint(0, 9) else (),
        interfaces=interfaces(random, 10 * number) if known else (),
    )


def _nodes(random: Random, cores: int) -> tuple[CandidateNode, ...]:
    """All cores of the host on one or two nodes; threads of a core are adjacent or on the two halves."""
    threads = random.choice((1, 2, 2, 4))
    split = random.choice((cores, cores // 2))
    parts = [ids for ids in (range(split), range(split, cores)) if ids]
    return tuple(_node(random, node_id, list(ids), threads) for node_id, ids in enumerate(parts))


def _node(random: Random, node_id: int, ids: list[int], threads: int) -> CandidateNode:
    taken = random.choice((0, 0, 1, 3))
    groups = [ids[start :: -(-len(ids) // threads)] for start in range(-(-len(ids) // threads))]
    sizes = random.sample(PAGE_SIZES_KIB, random.choice((0, 1, 1, 2, 3)))
    return CandidateNode(
        node_id=node_id,
        core_ids=tuple(ids),
        free_core_ids=tuple(core_id for core_id in ids if random.randint(0, 3) >= taken),
        siblings=tuple(map(tuple, groups)) if threads > 1 else (),
        pages=tuple(_pages(random, size) for size in sorted(sizes)),
    )


def _pages(random: Random, size_kib: int) -> CandidateHugePages:
    total = random.randint(0, 8)
    return CandidateHugePages(size_kib=size_kib, total=total, free=random.randint(0, total))


def _pool(random: Random, id_: int) -> CandidateStoragePool:
    total_bytes = TENTH_GB * random.randint(1, 300)
    return CandidateStoragePool(
        id=id_,
        pool_key=f"key-{id_}",
        name=random.choice(STORAGE_POOLS),
        total_bytes=total_bytes,
        free_bytes=max(0, total_bytes - TENTH_GB * random.randint(0, random.choice((5, 100)))),
        status=random.choice(("available",) * 7 + ("inactive",)),
    )
