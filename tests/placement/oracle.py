"""A brute-force oracle for placement: tries every assignment, independently of the code under test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import floor

from attrs import frozen

from common.values import NicKind
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateNode, CandidateStoragePool
from regiond.placement.requirements import (
    DEFAULT_ROOT_BYTES,
    Condition,
    DiskRequirement,
    HostFilter,
    NicRequirement,
    Requirements,
)


def claimable(total: int | None, ratio: float) -> int:
    return floor((total or 0) * Fraction(str(ratio)))


def passes_filter(wanted: HostFilter, host: Candidate) -> bool:
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


def size(disk: DiskRequirement) -> int:
    return disk.size_bytes or DEFAULT_ROOT_BYTES


def candidates(disk: DiskRequirement, host: Candidate) -> list[CandidateStoragePool]:
    """The pools that the disk may use, in their order: vm-hosts.md, storage constraints."""
    if disk.pools:
        return [pool for pool in host.storage_pools if pool.name in disk.pools]
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return named or default or list(host.storage_pools)


def left_bytes(
    host: Candidate,
    pool: CandidateStoragePool,
    disks: tuple[DiskRequirement, ...],
    pools_of_disks: tuple[CandidateStoragePool, ...],
) -> int:
    return pool.free_bytes - sum(
        size(disk) for disk, one in zip(disks, pools_of_disks, strict=False) if one.id == pool.id
    )


def follows_the_rules(
    host: Candidate, disks: tuple[DiskRequirement, ...], pools_of_disks: tuple[CandidateStoragePool, ...]
) -> bool:
    """Whether each disk is in the first available one of its allowed pools with enough space, given the disks before
    it."""
    for number, (disk, pool) in enumerate(zip(disks, pools_of_disks, strict=True)):
        large_enough = [
            one
            for one in candidates(disk, host)
            if one.status == "available" and left_bytes(host, one, disks, pools_of_disks[:number]) >= size(disk)
        ]
        if not large_enough or large_enough[0].id != pool.id:
            return False
    return True


def storage(host: Candidate, disks: tuple[DiskRequirement, ...]) -> tuple[CandidateStoragePool, ...] | None:
    """The only distribution of the disks over the pools that follows the rules."""
    assignments = product(host.storage_pools, repeat=len(disks))
    return next((chosen for chosen in assignments if follows_the_rules(host, disks, chosen)), None)


@frozen
class NumaWay:
    """An assignment: cores, and pages by node and size."""

    cores: tuple[int, ...]
    pages: Mapping[tuple[int, int], int]

    def nodes(self, host: Candidate) -> set[int]:
        return {node.node_id for node in host.nodes if {*self.cores} & {*node.core_ids}}

    @property
    def size_kib(self) -> int | None:
        return next((size for _, size in self.pages), None)


def numa_ways(wanted: Requirements, host: Candidate) -> Iterator[NumaWay]:
    """Yields every assignment of the required cores and pages."""
    for cores in core_ways(wanted, host):
        for pages in page_ways(wanted, host):
            way = NumaWay(cores, pages)
            of_cores, of_pages = way.nodes(host), {node for node, _ in pages}
            if of_cores and not of_pages <= of_cores:
                continue
            if wanted.one_numa_node and len(of_cores | of_pages) > 1:
                continue
            yield way


def core_ways(wanted: Requirements, host: Candidate) -> Iterator[tuple[int, ...]]:
    if wanted.pins is None:
        yield ()
    elif wanted.pins.count is None:
        free = {core_id for node in host.nodes for core_id in node.free_core_ids}
        if {*wanted.pins.core_ids} <= free:
            yield wanted.pins.core_ids
    else:
        for node in host.nodes:
            yield from combinations(node.free_core_ids, wanted.pins.count)


def page_ways(wanted: Requirements, host: Candidate) -> Iterator[Mapping[tuple[int, int], int]]:
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


def free_pages(node: CandidateNode, size_kib: int) -> int:
    return sum(pages.free for pages in node.pages if pages.size_kib == size_kib)


def physical_cores(node: CandidateNode, cores: Sequence[int]) -> int:
    """The number of physical cores to which these threads belong."""
    return len({next((group for group in node.siblings if core in group), (core,)) for core in cores})


def usable(host: Candidate) -> list[CandidateInterface]:
    return [one for one in host.interfaces if one.active and one.attachable]


def has_functions(one: CandidateInterface) -> bool:
    return one.kind is NicKind.MACVLAN and one.functions_total > 0


def meets(nic: NicRequirement, one: CandidateInterface) -> bool:
    return all(any(holds(condition, value, one) for value in condition.values) != condition.negated
               for condition in nic.conditions)  # fmt: skip


def holds(condition: Condition, value: str, one: CandidateInterface) -> bool:
    """Supports the keys and values that random requirements use."""
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


def may_attach(nic: NicRequirement, host: Candidate) -> list[CandidateInterface]:
    """The best interface (bridge, bond, other; with virtual functions before without; newest). If it has virtual
    functions, every matching interface that has some."""
    met = [one for one in usable(host) if meets(nic, one)]
    order = {"bridge": 0, "bond": 1}
    met.sort(key=lambda one: (order.get(one.type, 2), order.get(one.type, 2) == 2 and not has_functions(one), -one.id))
    if not met or not has_functions(met[0]):
        return met[:1]
    return [one for one in met if has_functions(one)]


def nic_ways(wanted: Requirements, host: Candidate) -> Iterator[tuple[CandidateInterface, ...]]:
    """Yields every attachment of the NICs that needs no more virtual functions than are free."""
    for chosen in product(*(may_attach(nic, host) for nic in wanted.nics)):
        ports = [one for one in chosen if has_functions(one)]
        if all(sum(other.function_port == one.function_port for other in ports) <= one.functions_free for one in ports):
            yield chosen


def has_default(host: Candidate) -> bool:
    """Whether the host has an interface for the default NIC."""
    return host.driver == "virsh" or any(not has_functions(one) or one.functions_free for one in usable(host))


def can_attach(wanted: Requirements, host: Candidate) -> bool:
    return any(True for _ in nic_ways(wanted, host)) if wanted.nics else has_default(host)


def fits(wanted: Requirements, host: Candidate) -> bool:
    return all(
        (
            passes_filter(wanted.hosts, host),
            host.state != "removing",
            host.maintenance is None,
            host.cores is not None,
            host.reachable,
            wanted.architecture in (None, host.architecture),
            wanted.cpu_speed_mhz is None or host.cpu_speed_mhz is None or wanted.cpu_speed_mhz <= host.cpu_speed_mhz,
            fits_amount(wanted.cores, cores_of(host), host.cpu_over_commit_ratio, host.cores_claimed),
            wanted.huge_pages
            or fits_amount(wanted.memory_mib, memory_of(host), host.memory_over_commit_ratio, host.memory_mib_claimed),
            any(True for _ in numa_ways(wanted, host)),
            storage(host, wanted.disks) is not None,
            can_attach(wanted, host),
        )
    )


def fits_amount(required: int, total: int, ratio: float, claimed: int) -> bool:
    return required <= total and claimed + required <= claimable(total, ratio)


def cores_of(host: Candidate) -> int:
    return max(0, (host.cores or 0) - host.reserved_cores)


def memory_of(host: Candidate) -> int:
    return max(0, (host.memory_mib or 0) - host.huge_memory_mib - host.reserved_memory_mib)
