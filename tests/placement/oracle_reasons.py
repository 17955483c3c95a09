"""Checks whether the reason of a rejected host is true, with every name and number in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from attrs import evolve

from common.units import BYTES_PER_GB as GB
from regiond.placement.candidate import Candidate, CandidateNode
from regiond.placement.requirements import Requirements
from tests.placement.oracle import (
    can_attach,
    candidates,
    claimable,
    cores_of,
    free_pages,
    left_bytes,
    meets,
    memory_of,
    size,
    storage,
    usable,
)


def is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    """Whether the reason holds. A reason of unknown form does not."""
    check = next((check for pattern, check in CHECKS if re.search(pattern, reason)), None)
    return check(reason, wanted, host) if check is not None else plain_is_true(reason, wanted, host)


def plain_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    filtered = host.id not in wanted.hosts.host_ids if wanted.hosts.host_ids else False
    known = {
        "excluded by your host filter": filtered or host.id in wanted.hosts.not_host_ids,
        "this compose already failed here": host.id in wanted.hosts.tried_host_ids,
        "is being removed": host.state == "removing",
        f"is in maintenance {host.maintenance}": host.maintenance is not None,
        "capacity unknown until its first successful discovery run": host.cores is None,
        "no connected rack reaches it": not host.reachable,
    }
    return known.get(reason, False)


def cores_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    usable_cores, ratio = cores_of(host), host.cpu_over_commit_ratio
    free = max(0, claimable(usable_cores, ratio) - host.cores_claimed)
    reserved = f", {host.reserved_cores} reserved" if host.reserved_cores else ""
    needs = f"needs {count(wanted.cores, 'core')}"
    if wanted.cores > free:
        whole = f"{count(usable_cores, 'core')} × ratio {ratio}, {host.cores_claimed} used{reserved}"
        return reason == f"{needs}, {free} free ({whole})"
    return wanted.cores > usable_cores and reason == f"{needs}, the host has only {usable_cores}{reserved}"


def memory_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    usable_mib, ratio = memory_of(host), host.memory_over_commit_ratio
    free = max(0, claimable(usable_mib, ratio) - host.memory_mib_claimed)
    without = f", {host.huge_memory_mib} in huge pages" if host.huge_memory_mib else ""
    without += f", {host.reserved_memory_mib} reserved" if host.reserved_memory_mib else ""
    needs = f"needs {wanted.memory_mib} MiB of memory"
    if wanted.huge_pages:
        return False
    if wanted.memory_mib > free:
        whole = f"{usable_mib} MiB × ratio {ratio}, {host.memory_mib_claimed} used{without}"
        return reason == f"{needs}, {free} free ({whole})"
    return wanted.memory_mib > usable_mib and reason == f"{needs}, the host has only {usable_mib}{without}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def free_cores_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    pins = wanted.pins
    if pins is None or pins.count is None:
        return False
    if not reason.startswith(f"needs {count(pins.count, 'unpinned core')} on one NUMA node, "):
        return False
    if not host.nodes:
        return reason.endswith(", the host does not report its cores")
    return each_node_is_true(reason, host, lambda node: (len(node.free_core_ids), len(node.core_ids))) and all(
        len(node.free_core_ids) < (pins.count or 0) for node in host.nodes
    )


def pins_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    core_ids = () if wanted.pins is None else wanted.pins.core_ids
    if not host.nodes:
        return numbers(reason) == [*core_ids] and reason.endswith(", the host does not report its cores")
    node_of = {core_id: node.node_id for node in host.nodes for core_id in node.core_ids}
    free = {core_id for node in host.nodes for core_id in node.free_core_ids}
    named = numbers(reason.partition(", the host has ")[0])
    if "not exist" in reason:
        return named == [core_id for core_id in core_ids if core_id not in node_of] and ids_in(reason) == {*node_of}
    if " already pinned" in reason:
        return named == [core_id for core_id in core_ids if core_id not in free]
    nodes = [(int(core_id), int(node)) for core_id, node in re.findall(r"core (\d+) is on node (\d+)", reason)]
    apart = len({node for _, node in nodes}) > 1
    return wanted.one_numa_node and apart and nodes == [(core_id, node_of[core_id]) for core_id in core_ids]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def ids_in(reason: str) -> set[int]:
    """The ids of `…, the host has 0-3,5`."""
    runs = [part.split("-") for part in reason.partition(", the host has ")[2].split(",")]
    return {core_id for run in runs for core_id in range(int(run[0]), int(run[-1]) + 1)}


def each_node_is_true(reason: str, host: Candidate, amounts: Callable[[CandidateNode], tuple[int, int]]) -> bool:
    """Whether at least one node is named, and each with the right free and total amounts."""
    named = re.findall(r"(\d+) of (\d+)(?: free)? on node (\d+)", reason)
    by_id = {node.node_id: node for node in host.nodes}
    return bool(named) and all(amounts(by_id[int(node)]) == (int(free), int(total)) for free, total, node in named)


def pages_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    sizes = {pages.size_kib for node in host.nodes for pages in node.pages if pages.total}
    size_kib, memory_kib = wanted.huge_page_size_kib, wanted.memory_mib * 1024
    if reason.endswith(", the host has none"):
        return not sizes or (size_kib is not None and size_kib not in sizes)
    if "not a multiple of" in reason:
        return all(memory_kib % size for size in ({size_kib} if size_kib is not None else sizes))
    return all(pages_of_a_size_are_true(part, wanted, host) for part in reason.removeprefix("needs ").split("; or "))


def pages_of_a_size_are_true(part: str, wanted: Requirements, host: Candidate) -> bool:
    match = re.match(r"(\d+) huge pages? of (\d+) (MiB|GiB)( on [a-zA-Z0-9 ]+)?, ", part)
    if match is None:
        return False
    size_kib = int(match[2]) * (1024 if match[3] == "MiB" else 1024 * 1024)
    named = {int(node) for node in re.findall(r"on node (\d+)", part)}
    free = [free_pages(node, size_kib) for node in host.nodes if node.node_id in named]
    most = max(free) if (match[4] or "").startswith(" on one NUMA node") else sum(free)
    return (
        int(match[1]) * size_kib == wanted.memory_mib * 1024
        and int(match[1]) > most
        and each_node_is_true(part, host, lambda node: (free_pages(node, size_kib), all_pages(node, size_kib)))
        and named == nodes_for_pages(match[4] or "", wanted, host)
    )


def all_pages(node: CandidateNode, size_kib: int) -> int:
    return sum(pages.total for pages in node.pages if pages.size_kib == size_kib)


def nodes_for_pages(where: str, wanted: Requirements, host: Candidate) -> set[int]:
    """The nodes from which pages may come, according to the words `where`."""
    enough = re.fullmatch(r" on one NUMA node with (\d+) free cores", where)
    if enough is not None:
        assert wanted.pins is not None
        assert int(enough[1]) == wanted.pins.count
        return {node.node_id for node in host.nodes if len(node.free_core_ids) >= int(enough[1])}
    if "pinned" in where:
        assert wanted.pins is not None
        return {node.node_id for node in host.nodes if {*node.core_ids} & {*wanted.pins.core_ids}}
    return {node.node_id for node in host.nodes}


def interfaces_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    available = usable(host)
    if reason.endswith("the host has no interface"):
        return not host.interfaces
    none_usable = re.search(r"none of the host's (\d+) interfaces is active and attachable$", reason)
    if none_usable is not None:
        return not available and int(none_usable[1]) == len(host.interfaces)
    nic = next((nic for nic in wanted.nics if reason.startswith(f"NIC {nic.label} needs")), None)
    if nic is None or any(meets(nic, one) for one in available):
        return False
    after = [evolve(nic, conditions=nic.conditions[:number]) for number in range(len(nic.conditions) + 1)]
    matching = [sum(meets(one, interface) for interface in available) for one in after]
    counted = re.search(r"the host's (\d+|one) interfaces?(?: is| are| (\d+) ha(?:s|ve) )", reason)
    if counted is None or len(available) != (1 if counted[1] == "one" else int(counted[1])):
        return False
    return counted[2] is None or int(counted[2]) in matching


def functions_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    needed = numbers(reason)[0]
    named = re.findall(r"(\d+) of (\d+) free on (\w+)", reason)
    ports = {(one.functions_free, one.functions_total, one.function_port) for one in usable(host)}
    return (
        not can_attach(wanted, host)
        and all((int(free), int(total), port) in ports for free, total, port in named)
        and needed > sum(int(free) for free, _, _ in named)
        and needed <= max(1, len(wanted.nics))
    )


def storage_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    """Whether it names the first disk without a pool, and what earlier disks leave in each pool that it may use."""
    number = next(n for n in range(len(wanted.disks)) if storage(host, wanted.disks[: n + 1]) is None)
    disk, before = wanted.disks[number], storage(host, wanted.disks[:number])
    assert before is not None
    allowed = candidates(disk, host)
    pools = [pool for pool in allowed if pool.status == "available"]
    needed = re.match(r"needs a disk of ([0-9.]+) GB, ", reason)
    if needed is None or not near(needed[1], size(disk)):
        return False
    if not allowed:
        return reason.endswith(", the host has no storage pool")
    lost = [pool.name for pool in allowed if pool.status != "available"]
    if re.findall(r"the storage pool (\w+) is inactive", reason) != lost:
        return False
    named = re.findall(r"([0-9.]+) of ([0-9.]+) GB free in (\w+)", reason)
    free_bytes = [left_bytes(host, pool, wanted.disks, before) for pool in pools]
    return [name for *_, name in named] == [pool.name for pool in pools] and all(
        near(free, pool_bytes) and near(total, pool.total_bytes) and Decimal(free) < Decimal(needed[1])
        for (free, total, _), pool, pool_bytes in zip(named, pools, free_bytes, strict=True)
    )


def near(text: str, size_bytes: int) -> bool:
    """Whether the text is the size, rounded to its digits."""
    digits = len(text.partition(".")[2])
    return abs(Decimal(text) - Decimal(size_bytes) / GB) <= Decimal(10) ** -digits / 2


def zone_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    return group_is_true(reason, f"is in zone {host.zone}", host.zone, wanted.hosts.zones, wanted.hosts.not_zones)


def pool_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    start = f"is in resource pool {host.pool}"
    return group_is_true(reason, start, host.pool, wanted.hosts.pools, wanted.hosts.not_pools)


def group_is_true(reason: str, start: str, own: str, wanted: Sequence[str], excluded: Sequence[str]) -> bool:
    if reason == f"{start}, which is excluded":
        return own in excluded
    return own not in wanted and reason == f"{start}, needs {' or '.join(wanted)}"


def missing_pool_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    """Whether it names the pools that the first disk without a pool demands, and those of the host."""
    number = next(n for n in range(len(wanted.disks)) if storage(host, wanted.disks[: n + 1]) is None)
    demanded, known = wanted.disks[number].pools, [pool.name for pool in host.storage_pools]
    of_host = f"the host has {', '.join(known) or 'no storage pool'}"
    return not set(demanded) & set(known) and reason == f"needs the storage pool {' or '.join(demanded)}, {of_host}"


def tags_are_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    missing = [tag for tag in wanted.hosts.tags if tag not in host.tags]
    present = [tag for tag in wanted.hosts.not_tags if tag in host.tags]
    tags = missing or present
    start = "lacks the" if missing else "has the excluded"
    return bool(tags) and reason == f"{start} {'tag' if len(tags) == 1 else 'tags'} {' and '.join(tags)}"


def type_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    return property_is_true(reason, "type", host.driver, wanted.hosts.drivers, wanted.hosts.not_drivers)


def architecture_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    accepted, excluded = wanted.hosts.architectures, wanted.hosts.not_architectures
    if property_is_true(reason, "architecture", host.architecture or "", accepted, excluded):
        return True
    differs = wanted.architecture not in (None, host.architecture)
    return differs and reason == f"architecture is {host.architecture}, needs {wanted.architecture}"


def property_is_true(reason: str, what: str, own: str, wanted: Sequence[str], excluded: Sequence[str]) -> bool:
    if reason == f"{what} {own} is excluded":
        return own in excluded
    return own not in wanted and reason == f"{what} is {own}, needs {' or '.join(wanted)}"


def speed_is_true(reason: str, wanted: Requirements, host: Candidate) -> bool:
    slower = (wanted.cpu_speed_mhz or 0) > (host.cpu_speed_mhz or 0) > 0
    return slower and reason == f"CPU speed is {host.cpu_speed_mhz} MHz, needs {wanted.cpu_speed_mhz} MHz"


CHECKS: Sequence[tuple[str, Callable[[str, Requirements, Candidate], bool]]] = (
    (r"^type ", type_is_true),
    (r"^is in zone ", zone_is_true),
    (r"^is in resource pool ", pool_is_true),
    (r"^lacks the tag|^has the excluded tag", tags_are_true),
    (r"^architecture ", architecture_is_true),
    (r"^CPU speed ", speed_is_true),
    (r"^needs \d+ cores?, ", cores_are_true),
    (r"^needs \d+ MiB of memory, ", memory_is_true),
    (r" unpinned cores? ", free_cores_are_true),
    (r" huge pages?", pages_are_true),
    (r"^needs to pin |^cores? \d|^pinned cores ", pins_are_true),
    (r"^needs a disk ", storage_is_true),
    (r"^needs the storage pool ", missing_pool_is_true),
    (r"^needs \d+ virtual functions? ", functions_are_true),
    (r"^NIC |^needs an interface ", interfaces_are_true),
)
