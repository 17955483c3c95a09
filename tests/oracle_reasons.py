"""Whether what a refused host is told is true, with every name and number in it, by what the host offers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from attrs import evolve

from common.units import BYTES_PER_GB as GB
from regiond.placement.model import HostOffer, NodeOffer, Wish
from tests.oracle import (
    can_attach,
    candidates,
    claimable,
    cores_of,
    free_pages,
    left,
    meets,
    memory_of,
    size,
    storage,
    usable,
)


def is_true(reason: str, wanted: Wish, host: HostOffer) -> bool:
    """With every name and number in it. A reason of no known form is not."""
    what, _, rest = reason.partition(": ")
    check = CHECKS.get(what)
    return check(rest, wanted, host) if check is not None else whole_is_true(reason, wanted, host)


def whole_is_true(reason: str, wanted: Wish, host: HostOffer) -> bool:
    asked = len(wanted.hosts.host_ids)
    known = {
        f"not one of the hosts that were asked for, {asked} in number": host.id not in wanted.hosts.host_ids,
        "one of the hosts that were excluded": host.id in wanted.hosts.not_host_ids,
        "it is being removed": host.state == "removing",
        "its capacity is unknown until its first good discovery": host.cores is None,
        "no connected rack reaches it": not host.reachable,
    }
    return known.get(reason, False)


def cores_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    whole = without(host.cores or 0, reserved=host.reserved_cores)
    return compute_is_true(
        rest, wanted.cores, cores_of(host), whole, host.cpu_over_commit_ratio, host.cores_claimed
    )  # fmt: skip


def memory_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    whole = without(host.memory_mib or 0, huge=host.huge_memory_mib, reserved=host.reserved_memory_mib)
    total, ratio, claimed = memory_of(host), host.memory_over_commit_ratio, host.memory_mib_claimed
    return not wanted.huge_pages and compute_is_true(
        rest.replace(" MiB", ""), wanted.memory_mib, total, whole, ratio, claimed
    )  # fmt: skip


def without(total: int, *, huge: int = 0, reserved: int = 0) -> str:
    kept = (f" - {huge} in huge pages" if huge else "") + (f" - {reserved} reserved" if reserved else "")
    return f"{total}{kept}"


def compute_is_true(rest: str, asked: int, total: int, whole: str, ratio: float, claimed: int) -> bool:
    most = claimable(total, ratio)
    free = max(0, most - claimed)
    if asked > free:
        said = f"({whole})" if "-" in whole else whole
        return rest == f"{asked} asked, {free} of {said} × {ratio} = {most} left"
    return asked > total and rest == f"{asked} asked, {whole} are all that the host has"


def pins_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    pins = wanted.pins
    if pins is None or not host.nodes:
        return pins is not None and rest.endswith(" asked, the host does not tell which cores it has")
    if pins.count is not None:
        return each_node_is_true(rest, host, lambda node: (len(node.free_core_ids), len(node.core_ids))) and (
            rest.startswith(f"{pins.count} on one node asked, ")
            and all(len(node.free_core_ids) < (pins.count or 0) for node in host.nodes)
        )
    asked, _, said = rest.partition(" asked")
    return asked == ",".join(map(str, pins.core_ids)) and named_cores_are_true(said, wanted, pins.core_ids, host)


def named_cores_are_true(said: str, wanted: Wish, core_ids: tuple[int, ...], host: HostOffer) -> bool:
    node_of = {core_id: node.node_id for node in host.nodes for core_id in node.core_ids}
    free = {core_id for node in host.nodes for core_id in node.free_core_ids}
    named = [int(number) for number in re.findall(r"\d+", said.partition(", the host has ")[0])]
    if "not exist" in said:
        return named == [core_id for core_id in core_ids if core_id not in node_of] and ids_in(said) == {*node_of}
    if said.endswith(" taken"):
        return named == [core_id for core_id in core_ids if core_id not in free]
    nodes = [(int(core_id), int(node)) for core_id, node in re.findall(r"(\d+) is of node (\d+)", said)]
    apart = len({node for _, node in nodes}) > 1
    return wanted.one_numa_node and apart and nodes == [(core_id, node_of[core_id]) for core_id in core_ids]


def ids_in(said: str) -> set[int]:
    """Of `…, the host has 0-3,5`."""
    runs = [part.split("-") for part in said.partition(", the host has ")[2].split(",")]
    return {core_id for run in runs for core_id in range(int(run[0]), int(run[-1]) + 1)}


def each_node_is_true(rest: str, host: HostOffer, amounts: Callable[[NodeOffer], tuple[int, int]]) -> bool:
    """Every node that is named has so much free of so much, and some node is named."""
    said = re.findall(r"(\d+) of (\d+)(?: free)? on node (\d+)", rest)
    by_id = {node.node_id: node for node in host.nodes}
    return bool(said) and all(amounts(by_id[int(node)]) == (int(free), int(total)) for free, total, node in said)


def pages_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    sizes = {pages.size_kib for node in host.nodes for pages in node.pages if pages.total}
    asked, memory_kib = wanted.huge_page_size_kib, wanted.memory_mib * 1024
    if rest.endswith(" asked, the host has none"):
        return not sizes or (asked is not None and asked not in sizes)
    if "not a multiple of" in rest:
        return all(memory_kib % size for size in ({asked} if asked is not None else sizes))
    return all(pages_of_a_size_are_true(part, wanted, host) for part in rest.split("; "))


def pages_of_a_size_are_true(part: str, wanted: Wish, host: HostOffer) -> bool:
    match = re.match(r"(\d+) of (\d+) (MiB|GiB)( on [a-z0-9 ]+)? asked, ", part)
    if match is None:
        return False
    size_kib = int(match[2]) * (1024 if match[3] == "MiB" else 1024 * 1024)
    named = {int(node) for node in re.findall(r"on node (\d+)", part)}
    free = [free_pages(node, size_kib) for node in host.nodes if node.node_id in named]
    most = max(free) if (match[4] or "").startswith(" on one node") else sum(free)
    return (
        int(match[1]) * size_kib == wanted.memory_mib * 1024
        and int(match[1]) > most
        and each_node_is_true(part, host, lambda node: (free_pages(node, size_kib), all_pages(node, size_kib)))
        and named == nodes_for_pages(match[4] or "", wanted, host)
    )


def all_pages(node: NodeOffer, size_kib: int) -> int:
    return sum(pages.total for pages in node.pages if pages.size_kib == size_kib)


def nodes_for_pages(where: str, wanted: Wish, host: HostOffer) -> set[int]:
    """Those that pages may be of, as the words `where` have it."""
    enough = re.fullmatch(r" on one node with (\d+) free cores", where)
    if enough is not None:
        assert wanted.pins is not None
        assert int(enough[1]) == wanted.pins.count
        return {node.node_id for node in host.nodes if len(node.free_core_ids) >= int(enough[1])}
    if "pinned" in where:
        assert wanted.pins is not None
        return {node.node_id for node in host.nodes if {*node.core_ids} & {*wanted.pins.core_ids}}
    return {node.node_id for node in host.nodes}


def interfaces_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    there = usable(host)
    if rest.endswith("the host has no interface"):
        return not host.interfaces
    none_usable = re.search(r"none of the host's (\d+) interfaces is active and can be attached to$", rest)
    if none_usable is not None:
        return not there and int(none_usable[1]) == len(host.interfaces)
    nic = next((nic for nic in wanted.nics if rest.startswith(f"{nic.label} ask")), None)
    if nic is None or any(meets(nic, one) for one in there):
        return False
    after = [evolve(nic, conditions=nic.conditions[:number]) for number in range(len(nic.conditions) + 1)]
    left = [sum(meets(one, interface) for interface in there) for one in after]
    counted = re.search(r"the host's (\d+|one) interfaces?(?: is| are| (\d+) meets? )", rest)
    if counted is None or len(there) != (1 if counted[1] == "one" else int(counted[1])):
        return False
    return counted[2] is None or int(counted[2]) in left


def functions_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    asked = int(rest.partition(" asked for ")[0])
    said = re.findall(r"(\d+) of (\d+) left on (\w+)", rest)
    ports = {(one.functions_free, one.functions_total, one.function_port) for one in usable(host)}
    return (
        not can_attach(wanted, host)
        and all((int(free), int(total), port) in ports for free, total, port in said)
        and asked > sum(int(free) for free, _, _ in said)
        and asked <= max(1, len(wanted.nics))
    )


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


def group_is_true(
    rest: str, own: str | None, wanted: tuple[str, ...], unwanted: tuple[str, ...], *, words: str = "the host is in"
) -> bool:
    if rest == f"{' or '.join(wanted)} asked, {words} {own}":
        return own not in wanted
    return own in unwanted and rest == f"not {' or '.join(unwanted)} asked, {words} {own}"


def tags_are_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    tags, not_tags = wanted.hosts.tags, wanted.hosts.not_tags
    lacking = [tag for tag in tags if tag not in host.tags]
    carried = [tag for tag in not_tags if tag in host.tags]
    if lacking:
        return rest == f"{' and '.join(tags)} asked, the host has no {' and no '.join(lacking)}"
    return bool(carried) and rest == f"not {' or '.join(not_tags)} asked, the host has {' and '.join(carried)}"


def type_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    return group_is_true(rest, host.driver, wanted.hosts.drivers, wanted.hosts.not_drivers, words="the host is")


def architecture_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    wanted_ones, unwanted = wanted.hosts.architectures, wanted.hosts.not_architectures
    if group_is_true(rest, host.architecture, wanted_ones, unwanted, words="the host is"):
        return True
    differs = wanted.architecture not in (None, host.architecture)
    return differs and rest == f"{wanted.architecture} asked, the host is {host.architecture}"


def speed_is_true(rest: str, wanted: Wish, host: HostOffer) -> bool:
    slower = (wanted.cpu_speed_mhz or 0) > (host.cpu_speed_mhz or 0) > 0
    return slower and rest == f"{wanted.cpu_speed_mhz} MHz asked, the host has {host.cpu_speed_mhz} MHz"


CHECKS: Mapping[str, Callable[[str, Wish, HostOffer], bool]] = {
    "type": type_is_true,
    "zone": zone_is_true,
    "resource pool": pool_is_true,
    "tags": tags_are_true,
    "architecture": architecture_is_true,
    "CPU speed": speed_is_true,
    "cores": cores_are_true,
    "memory": memory_is_true,
    "pinned cores": pins_are_true,
    "huge pages": pages_are_true,
    "storage": storage_is_true,
    "interfaces": interfaces_are_true,
    "virtual functions": functions_are_true,
}
