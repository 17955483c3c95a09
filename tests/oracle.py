"""What a host can give, found by trying every way there is: knows nothing of the code that it judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import floor

from attrs import frozen

from common.values import NicKind
from regiond.placement.model import (
    Condition,
    HostFilter,
    HostOffer,
    InterfaceOffer,
    NicWish,
    NodeOffer,
    PoolOffer,
    Wish,
)
from regiond.placement.place import DEFAULT_ROOT_BYTES
from regiond.placement.storage_text import DiskWish


def claimable(total: int | None, ratio: float) -> int:
    return floor((total or 0) * Fraction(str(ratio)))


def may(wanted: HostFilter, host: HostOffer) -> bool:
    return all(
        (
            not wanted.host_ids or host.id in wanted.host_ids,
            host.id not in wanted.not_host_ids,
            not wanted.drivers or host.driver in wanted.drivers,
            host.driver not in wanted.not_drivers,
            host.architecture is None or not wanted.architectures or host.architecture in wanted.architectures,
            host.architecture not in wanted.not_architectures,
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


# Cores and pages ----------------------------------------------------------------------------------------------------


@frozen
class NumaWay:
    """Cores, and pages by node and size."""

    cores: tuple[int, ...]
    pages: Mapping[tuple[int, int], int]

    def nodes(self, host: HostOffer) -> set[int]:
        return {node.node_id for node in host.nodes if {*self.cores} & {*node.core_ids}}

    @property
    def size_kib(self) -> int | None:
        return next((size for _, size in self.pages), None)


def numa_ways(wanted: Wish, host: HostOffer) -> Iterator[NumaWay]:
    """Every way to give the cores and pages that are asked for."""
    for cores in core_ways(wanted, host):
        for pages in page_ways(wanted, host):
            way = NumaWay(cores, pages)
            of_cores, of_pages = way.nodes(host), {node for node, _ in pages}
            if of_cores and not of_pages <= of_cores:
                continue
            if wanted.one_numa_node and len(of_cores | of_pages) > 1:
                continue
            yield way


def core_ways(wanted: Wish, host: HostOffer) -> Iterator[tuple[int, ...]]:
    if wanted.pins is None:
        yield ()
    elif wanted.pins.count is None:
        free = {core_id for node in host.nodes for core_id in node.free_core_ids}
        if {*wanted.pins.core_ids} <= free:
            yield wanted.pins.core_ids
    else:
        for node in host.nodes:
            yield from combinations(node.free_core_ids, wanted.pins.count)


def page_ways(wanted: Wish, host: HostOffer) -> Iterator[Mapping[tuple[int, int], int]]:
    if not wanted.huge_pages:
        yield {}
        return
    for size in {pages.size_kib for node in host.nodes for pages in node.pages}:
        pages_wanted = Fraction(wanted.memory_mib * 1024, size)
        if wanted.huge_page_size_kib not in (None, size) or pages_wanted.denominator != 1:
            continue
        free = [(node.node_id, free_pages(node, size)) for node in host.nodes]
        for counts in product(*(range(most + 1) for _, most in free)):
            if sum(counts) == pages_wanted:
                yield {(node, size): count for (node, _), count in zip(free, counts, strict=True) if count}


def free_pages(node: NodeOffer, size_kib: int) -> int:
    return sum(pages.free for pages in node.pages if pages.size_kib == size_kib)


def physical_cores(node: NodeOffer, cores: Sequence[int]) -> int:
    """How many of them are touched."""
    return len({next((group for group in node.siblings if core in group), (core,)) for core in cores})


# Interfaces ---------------------------------------------------------------------------------------------------------


def usable(host: HostOffer) -> list[InterfaceOffer]:
    return [one for one in host.interfaces if one.active and one.attachable]


def has_functions(one: InterfaceOffer) -> bool:
    return one.kind is NicKind.MACVLAN and one.functions_total > 0


def meets(nic: NicWish, one: InterfaceOffer) -> bool:
    return all(any(is_so(condition, value, one) for value in condition.values) != condition.negated
               for condition in nic.conditions)  # fmt: skip


def is_so(condition: Condition, value: str, one: InterfaceOffer) -> bool:
    """Of the keys and values that the fleets' wishes have."""
    match condition.key:
        case "space":
            return one.vlan_id is not None and (one.space_name or "undefined") == value
        case "vid":
            return one.vid == int(value)
        case "subnet":
            return any(value in (f"id:{subnet.id}", subnet.cidr) for subnet in one.subnets)
        case "type":
            return one.type == value
        case "tag":
            return all(tag in one.tags for tag in value.split("&&"))
        case "link_speed":
            return one.link_speed_mbps is not None and one.link_speed_mbps >= int(value)
    raise ValueError(condition.key)


def may_attach(nic: NicWish, host: HostOffer) -> list[InterfaceOffer]:
    """Bridge before bond before other, functions before none, the newest: only where the best one has functions may
    it be another, which then has functions too."""
    met = [one for one in usable(host) if meets(nic, one)]
    order = {"bridge": 0, "bond": 1}
    met.sort(key=lambda one: (order.get(one.type, 2), order.get(one.type, 2) == 2 and not has_functions(one), -one.id))
    if not met or not has_functions(met[0]):
        return met[:1]
    return [one for one in met if has_functions(one)]


def nic_ways(wanted: Wish, host: HostOffer) -> Iterator[tuple[InterfaceOffer, ...]]:
    """Every way to attach the cards without using up more functions than are free."""
    for chosen in product(*(may_attach(nic, host) for nic in wanted.nics)):
        ports = [one for one in chosen if has_functions(one)]
        if all(sum(other.function_port == one.function_port for other in ports) <= one.functions_free for one in ports):
            yield chosen


def has_default(host: HostOffer) -> bool:
    """Something to attach the one card to that nobody asked for."""
    return host.driver == "virsh" or any(not has_functions(one) or one.functions_free for one in usable(host))


def can_attach(wanted: Wish, host: HostOffer) -> bool:
    return any(True for _ in nic_ways(wanted, host)) if wanted.nics else has_default(host)


# All of it ----------------------------------------------------------------------------------------------------------


def takes(wanted: Wish, host: HostOffer) -> bool:
    return all(
        (
            may(wanted.hosts, host),
            host.state != "removing",
            host.cores is not None,
            host.reachable,
            wanted.architecture in (None, host.architecture),
            wanted.cpu_speed_mhz is None or host.cpu_speed_mhz is None or wanted.cpu_speed_mhz <= host.cpu_speed_mhz,
            computes(wanted.cores, cores_of(host), host.cpu_over_commit_ratio, host.cores_claimed),
            wanted.huge_pages
            or computes(wanted.memory_mib, memory_of(host), host.memory_over_commit_ratio, host.memory_mib_claimed),
            any(True for _ in numa_ways(wanted, host)),
            storage(host, wanted.disks) is not None,
            can_attach(wanted, host),
        )
    )


def computes(asked: int, there: int, ratio: float, claimed: int) -> bool:
    return asked <= there and claimed + asked <= claimable(there, ratio)


def cores_of(host: HostOffer) -> int:
    return max(0, (host.cores or 0) - host.reserved_cores)


def memory_of(host: HostOffer) -> int:
    return max(0, (host.memory_mib or 0) - host.huge_memory_mib - host.reserved_memory_mib)
