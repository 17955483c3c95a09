"""Computes which cores, huge pages and virtual functions each guest of a server holds. Pure.

Guests do not report the NUMA node or the size of their huge pages. The pages in the ledger are kept as long as they fit
the guest. Otherwise the pages are of the smallest size: a pinned guest takes them from the nodes of its pins, in
proportion to the pins, and any other guest from the nodes with the most free pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from common.hardware import NetworkDevice
from common.values import NicKind, NumaNode
from regiond.ledger.model import DiscreteResources, GuestClaims, page_size_kib, pages_key, read_pages_key

ResourceKey = tuple[str, str]  # (resource, key), such as ("huge_pages", "0/2048")
GuestKey = tuple[str, str]  # (project, the hypervisor's id of the guest)
ClaimHolder = GuestKey | int  # a foreign guest, or the row id of a machine


class GuestResources(Protocol):
    """The part of a driver's report of a guest on which the guest's allocations depend."""

    @property
    def key(self) -> GuestKey: ...
    @property
    def machine_id(self) -> int | None: ...
    @property
    def cores(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def pinned_core_ids(self) -> tuple[int, ...]: ...
    @property
    def huge_pages_backed(self) -> bool: ...
    @property
    def nics(self) -> tuple[Mapping[str, Any], ...]: ...


def claim_holder(guest: GuestResources) -> ClaimHolder:
    """Returns the holder of the guest's claims: its machine, or the guest itself if it is foreign."""
    return guest.key if guest.machine_id is None else guest.machine_id


@frozen(kw_only=True)
class Inventory:
    """The discrete resources of a server. The ports of a network device share its virtual functions, whose key is the
    name of the first port."""

    nodes: tuple[NumaNode, ...] = ()
    first_ports: Mapping[str, str] = field(factory=dict)  # name of a port -> name of its device's first port
    totals: Mapping[ResourceKey, int] = field(factory=dict)

    @property
    def huge_memory_mib(self) -> int:
        """Memory in huge pages, which general memory does not include."""
        return sum(pages.size_kib * pages.total for node in self.nodes for pages in node.huge_pages) // 1024


def inventory_of(nodes: Iterable[NumaNode], devices: Iterable[NetworkDevice]) -> Inventory:
    nodes = tuple(sorted(nodes, key=lambda node: node.node_id))
    devices = [device for device in devices if device.virtual_functions and device.ports]
    totals: dict[ResourceKey, int] = {
        ("huge_pages", pages_key(node.node_id, pages.size_kib)): pages.total
        for node in nodes
        for pages in node.huge_pages
        if pages.total
    }
    totals |= {("virtual_functions", device.ports[0].name): device.virtual_functions for device in devices}
    first_ports = {port.name: device.ports[0].name for device in devices for port in device.ports}
    return Inventory(nodes=nodes, first_ports=first_ports, totals=totals)


def allocations(
    guests: Iterable[GuestResources], inventory: Inventory, recorded: Mapping[ClaimHolder, DiscreteResources]
) -> dict[GuestKey, GuestClaims]:
    """Returns the claims of each guest, without storage.

    `recorded` has the discrete resources in the ledger of these guests and of all others on the server.
    """
    guests = sorted(guests, key=lambda guest: (not guest.pinned_core_ids, guest.key))
    unchanged = {
        guest.key: pages
        for guest in guests
        for pages in [_recorded_pages(guest, inventory, recorded)]
        if pages is not None
    }
    undecided = {claim_holder(guest) for guest in guests if guest.key not in unchanged}
    free = Counter({key: total for (resource, key), total in inventory.totals.items() if resource == "huge_pages"})
    for holder, counted in recorded.items():
        if holder not in undecided:
            free.subtract(counted.huge_pages)
    found = {}
    for guest in guests:
        pages = unchanged.get(guest.key)
        if pages is None:
            pages = _choose_pages(guest, inventory, free, _recorded_page_size(guest, recorded))
            free.subtract(pages)
        found[guest.key] = GuestClaims(
            cores=guest.cores,
            memory_mib=0 if pages else guest.memory_mib,
            discrete=DiscreteResources(
                pinned_core_ids=guest.pinned_core_ids,
                huge_pages=pages,
                functions=_virtual_functions(guest, inventory, recorded),
            ),
        )
    return found


def _recorded_pages(
    guest: GuestResources, inventory: Inventory, recorded: Mapping[ClaimHolder, DiscreteResources]
) -> Mapping[str, int] | None:
    """Returns the pages in the ledger if they still cover the guest exactly and its pins are the same, else None."""
    if not guest.huge_pages_backed:
        return {}
    known = recorded.get(claim_holder(guest))
    if known is None or not known.huge_pages or known.pinned_core_ids != tuple(sorted({*guest.pinned_core_ids})):
        return None
    if any(("huge_pages", key) not in inventory.totals for key in known.huge_pages):
        return None
    sizes_kib = {key: read_pages_key(key)[1] for key in known.huge_pages}
    spare_kib = sum(sizes_kib[key] * pages for key, pages in known.huge_pages.items()) - guest.memory_mib * 1024
    return known.huge_pages if 0 <= spare_kib < sum(sizes_kib.values()) else None


def _recorded_page_size(guest: GuestResources, recorded: Mapping[ClaimHolder, DiscreteResources]) -> int | None:
    known = recorded.get(claim_holder(guest))
    return page_size_kib(known.huge_pages) if known is not None else None


def _choose_pages(
    guest: GuestResources, inventory: Inventory, free: Mapping[str, int], size_kib: int | None
) -> dict[str, int]:
    """Returns pages by key; none if the server has no huge pages: the guest's memory then counts as general memory."""
    pinned = {*guest.pinned_core_ids}
    with_pages = [node for node in inventory.nodes if _page_sizes_kib(node)]
    with_pins = [node for node in with_pages if pinned & {*node.core_ids}]
    sizes_kib = {size for node in with_pins or with_pages for size in _page_sizes_kib(node)}
    if not sizes_kib or not guest.memory_mib:
        return {}
    chosen_kib = size_kib if size_kib in sizes_kib else min(sizes_kib)
    nodes = [node for node in with_pins or with_pages if chosen_kib in _page_sizes_kib(node)]
    if with_pins:
        pins = {node.node_id: len(pinned & {*node.core_ids}) for node in nodes}
        return _pages_by_pins(guest.memory_mib * 1024, chosen_kib, pins)
    free_on_node = {node.node_id: max(0, free[pages_key(node.node_id, chosen_kib)]) for node in nodes}
    return _pages_by_free(-(-guest.memory_mib * 1024 // chosen_kib), chosen_kib, free_on_node)


def _page_sizes_kib(node: NumaNode) -> frozenset[int]:
    return frozenset(pages.size_kib for pages in node.huge_pages if pages.total)


def _pages_by_pins(memory_kib: int, size_kib: int, pins: Mapping[int, int]) -> dict[str, int]:
    """Divides the pages in proportion to the pins on each node. Subtracts running sums: rounding loses no memory."""
    taken, pins_so_far, before_kib = {}, 0, 0
    for node_id, count in pins.items():
        pins_so_far += count
        upto_kib = memory_kib * pins_so_far // sum(pins.values())
        taken[pages_key(node_id, size_kib)] = -(-(upto_kib - before_kib) // size_kib)
        before_kib = upto_kib
    return taken


def _pages_by_free(pages: int, size_kib: int, free: Mapping[int, int]) -> dict[str, int]:
    """Takes pages from the nodes with the most free pages first. The guest runs, so any excess counts on the first."""
    order = sorted(free, key=lambda node_id: (-free[node_id], node_id))
    taken = {}
    for node_id in order:
        taken[node_id] = min(free[node_id], pages)
        pages -= taken[node_id]
    taken[order[0]] += pages
    return {pages_key(node_id, size_kib): count for node_id, count in taken.items() if count}


def _virtual_functions(
    guest: GuestResources, inventory: Inventory, recorded: Mapping[ClaimHolder, DiscreteResources]
) -> Mapping[str, int]:
    """Returns virtual functions by port. A NIC whose port the driver does not report gets one of the ledger, if any."""
    sources = [nic["source"] for nic in guest.nics if nic["kind"] == NicKind.SRIOV.value]
    reported = Counter(inventory.first_ports[source] for source in sources if source in inventory.first_ports)
    known = recorded.get(claim_holder(guest))
    unreported = Counter(known.functions if known is not None else {}) - reported
    return reported + Counter([*unreported.elements()][: len(sources) - reported.total()])
