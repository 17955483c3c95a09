"""Computes the resources of each NUMA node of a server and the claims on them. Pure.

Claims on cores and huge pages name their node; virtual functions are on the node of their network device. General
memory is claimed from the whole server. The memory of a guest with pins counts on the nodes of its pins, in proportion;
that of other guests counts on no node, since the hypervisor places it. `ServerUsage` counts all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from common.hardware import NetworkDevice
from common.hosts.capacity import Capacity
from common.values import NumaNode
from regiond.hosts.numa.numa_model import CoreUsage, NetworkDeviceUsage, NumaNodeView, PagesUsage, ServerUsage, Usage
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources, read_pages_key


@frozen(kw_only=True)
class NumaAllocation:
    """The resources that one guest holds. `guest_id` is None before the machine's guest was composed."""

    guest_id: int | None
    is_machine: bool
    cores: int = 0  # claimed, pinned or not
    general_mib: int = 0
    discrete: DiscreteResources = NO_DISCRETE_RESOURCES


def numa_usage(
    nodes: Iterable[NumaNode],
    devices: Sequence[NetworkDevice],
    allocated: Iterable[NumaAllocation],
    capacity: Capacity | None = None,
) -> tuple[NumaNodeView, ...]:
    """Returns the nodes by id. Their sums equal the resources of all guests with pins: rounding loses no MiB."""
    nodes = sorted(nodes, key=lambda node: node.node_id)
    allocated = list(allocated)
    server = _server_usage(nodes, allocated, capacity)
    general = [(allocation, _general_mib_by_node(allocation, nodes)) for allocation in allocated]
    return tuple(
        _node_view(
            node,
            [device for device in devices if _is_on(device, node, nodes)],
            allocated,
            [(allocation, mib[node.node_id]) for allocation, mib in general],
            server,
        )
        for node in nodes
    )


def _server_usage(
    nodes: Iterable[NumaNode], allocated: Iterable[NumaAllocation], capacity: Capacity | None
) -> ServerUsage:
    nodes, allocated = list(nodes), list(allocated)
    return ServerUsage(
        cores=_usage(sum(len(node.core_ids) for node in nodes), [(one, one.cores) for one in allocated]),
        general_mib=_usage(sum(map(_total_general_mib, nodes)), [(one, one.general_mib) for one in allocated]),
        capacity=capacity,
    )


def _total_general_mib(node: NumaNode) -> int:
    huge_kib = sum(pages.size_kib * pages.total for pages in node.huge_pages)
    return max(0, node.memory_mib * 1024 - huge_kib) // 1024


def _node_view(
    node: NumaNode,
    devices: Sequence[NetworkDevice],
    allocated: Sequence[NumaAllocation],
    general: Sequence[tuple[NumaAllocation, int]],
    server: ServerUsage,
) -> NumaNodeView:
    here = [allocation for allocation in allocated if _uses_node(allocation.discrete, node, devices)]
    return NumaNodeView(
        node_id=node.node_id,
        cores=_cores(node, allocated),
        memory_mib=node.memory_mib,
        general_mib=_usage(_total_general_mib(node), general),
        huge_pages=_pages(node, allocated),
        network_devices=tuple(_device_usage(device, allocated) for device in devices),
        guest_ids=tuple(sorted(one.guest_id for one in here if one.guest_id is not None)),
        server=server,
    )


def _general_mib_by_node(allocation: NumaAllocation, nodes: Sequence[NumaNode]) -> dict[int, int]:
    """Divides the memory in proportion to the pins on each node. Subtracts running sums: rounding loses no MiB."""
    pinned = {*allocation.discrete.pinned_core_ids}
    portions, pins, before = {}, 0, 0
    for node in nodes:
        pins += len(pinned & {*node.core_ids})
        upto = allocation.general_mib * pins // max(1, len(pinned))
        portions[node.node_id] = upto - before
        before = upto
    return portions


def _is_on(device: NetworkDevice, node: NumaNode, nodes: Sequence[NumaNode]) -> bool:
    return device.numa_node == node.node_id or (device.numa_node is None and len(nodes) == 1)


def _uses_node(claims: DiscreteResources, node: NumaNode, devices: Iterable[NetworkDevice]) -> bool:
    ports = {port.name for device in devices for port in device.ports}
    has_pages = any(read_pages_key(key)[0] == node.node_id for key in claims.huge_pages)
    return has_pages or bool({*claims.pinned_core_ids} & {*node.core_ids} or ports & {*claims.functions})


def _cores(node: NumaNode, allocated: Iterable[NumaAllocation]) -> CoreUsage:
    pinned: dict[bool, set[int]] = {True: set(), False: set()}
    for allocation in allocated:
        pinned[allocation.is_machine] |= {*allocation.discrete.pinned_core_ids} & {*node.core_ids}
    return CoreUsage(
        total=tuple(sorted(node.core_ids)),
        used_by_ours=tuple(sorted(pinned[True])),
        used_by_others=tuple(sorted(pinned[False])),
        siblings=node.siblings,
    )


def _pages(node: NumaNode, allocated: Iterable[NumaAllocation]) -> tuple[PagesUsage, ...]:
    """Returns the use of every page size of the node, then of claimed sizes that the node no longer has."""
    used: dict[int, list[tuple[NumaAllocation, int]]] = {pages.size_kib: [] for pages in node.huge_pages}
    for allocation in allocated:
        for key, pages in sorted(allocation.discrete.huge_pages.items()):
            node_id, size_kib = read_pages_key(key)
            if node_id == node.node_id:
                used.setdefault(size_kib, []).append((allocation, pages))
    totals = {pages.size_kib: pages.total for pages in node.huge_pages}
    return tuple(
        PagesUsage(size_kib=size_kib, pages=_usage(totals.get(size_kib, 0), used[size_kib]))
        for size_kib in (*totals, *sorted(used.keys() - totals.keys()))
    )


def _device_usage(device: NetworkDevice, allocated: Iterable[NumaAllocation]) -> NetworkDeviceUsage:
    names = {port.name for port in device.ports}
    used = [
        (allocation, sum(functions for port, functions in allocation.discrete.functions.items() if port in names))
        for allocation in allocated
    ]
    return NetworkDeviceUsage(device=device, functions=_usage(device.virtual_functions, used))


def _usage(total: int, used: Iterable[tuple[NumaAllocation, int]]) -> Usage:
    used = list(used)
    return Usage(
        total=total,
        used_by_ours=sum(amount for allocation, amount in used if allocation.is_machine),
        used_by_others=sum(amount for allocation, amount in used if not allocation.is_machine),
    )
