"""What a server has of single cores, huge pages and virtual functions, and what the guests found on it take. Pure.

Guests do not say of which nodes their huge pages are, nor of which size. Where the ledger knows and it still fits what
was found, it stays so; else they are of the smallest size, and a pinned guest takes them of the nodes of its pins, in
proportion to those, and any other guest of the nodes with most of them free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from common.hardware import NetworkCard
from common.values import NicKind, NumaNode
from regiond.ledger.model import Counted, Held, page_size_kib, pages_key, read_pages_key

Resource = tuple[str, str]  # (what it is, its key)
Key = tuple[str, str]  # of a guest: (project, the hypervisor's own id)
Holder = Key | int  # a foreign guest, or a machine by its row id


class Found(Protocol):
    """A guest as it was found."""

    @property
    def key(self) -> Key: ...
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


def holder_of(guest: Found) -> Holder:
    return guest.key if guest.machine_id is None else guest.machine_id


@frozen(kw_only=True)
class Stock:
    """What a server has that is counted. The ports of one card share its functions, under the name of the first."""

    nodes: tuple[NumaNode, ...] = ()
    first_ports: Mapping[str, str] = field(factory=dict)
    totals: Mapping[Resource, int] = field(factory=dict)

    @property
    def huge_memory_mib(self) -> int:
        return sum(pages.size_kib * pages.total for node in self.nodes for pages in node.huge_pages) // 1024


def stock_of(nodes: Iterable[NumaNode], cards: Iterable[NetworkCard]) -> Stock:
    nodes = tuple(sorted(nodes, key=lambda node: node.node_id))
    cards = [card for card in cards if card.virtual_functions and card.ports]
    totals: dict[Resource, int] = {
        ("huge_pages", pages_key(node.node_id, pages.size_kib)): pages.total
        for node in nodes
        for pages in node.huge_pages
        if pages.total
    }
    totals |= {("virtual_functions", card.ports[0].name): card.virtual_functions for card in cards}
    first_ports = {port.name: card.ports[0].name for card in cards for port in card.ports}
    return Stock(nodes=nodes, first_ports=first_ports, totals=totals)


def holdings(guests: Iterable[Found], stock: Stock, before: Mapping[Holder, Counted]) -> dict[Key, Held]:
    """What each guest holds, but for storage. `before` is what the ledger knows of these guests and of others."""
    guests = sorted(guests, key=lambda guest: (not guest.pinned_core_ids, guest.key))
    kept = {guest.key: pages for guest in guests for pages in [_kept_pages(guest, stock, before)] if pages is not None}
    undecided = {holder_of(guest) for guest in guests if guest.key not in kept}
    free = Counter({key: total for (resource, key), total in stock.totals.items() if resource == "huge_pages"})
    for holder, counted in before.items():
        if holder not in undecided:
            free.subtract(counted.huge_pages)
    held = {}
    for guest in guests:
        pages = kept.get(guest.key)
        if pages is None:
            pages = _pages(guest, stock, free, _size_before(guest, before))
            free.subtract(pages)
        held[guest.key] = Held(
            cores=guest.cores,
            memory_mib=0 if pages else guest.memory_mib,
            counted=Counted(
                pinned_core_ids=guest.pinned_core_ids,
                huge_pages=pages,
                functions=_functions(guest, stock, before),
            ),
        )
    return held


def _kept_pages(guest: Found, stock: Stock, before: Mapping[Holder, Counted]) -> Mapping[str, int] | None:
    """The pages that the ledger knows of, if they are still enough and no more, and the guest is where it was."""
    if not guest.huge_pages_backed:
        return {}
    known = before.get(holder_of(guest))
    if known is None or not known.huge_pages or known.pinned_core_ids != tuple(sorted({*guest.pinned_core_ids})):
        return None
    if any(("huge_pages", key) not in stock.totals for key in known.huge_pages):
        return None
    sizes_kib = {key: read_pages_key(key)[1] for key in known.huge_pages}
    spare_kib = sum(sizes_kib[key] * pages for key, pages in known.huge_pages.items()) - guest.memory_mib * 1024
    return known.huge_pages if 0 <= spare_kib < sum(sizes_kib.values()) else None


def _size_before(guest: Found, before: Mapping[Holder, Counted]) -> int | None:
    known = before.get(holder_of(guest))
    return page_size_kib(known.huge_pages) if known is not None else None


def _pages(guest: Found, stock: Stock, free: Mapping[str, int], size_kib: int | None) -> dict[str, int]:
    """By key. Empty where the server has no huge pages: what backs the guest is then taken to be general memory."""
    pinned = {*guest.pinned_core_ids}
    with_pages = [node for node in stock.nodes if _sizes_kib(node)]
    on_pins = [node for node in with_pages if pinned & {*node.core_ids}]
    sizes_kib = {size for node in on_pins or with_pages for size in _sizes_kib(node)}
    if not sizes_kib or not guest.memory_mib:
        return {}
    chosen_kib = size_kib if size_kib in sizes_kib else min(sizes_kib)
    nodes = [node for node in on_pins or with_pages if chosen_kib in _sizes_kib(node)]
    if on_pins:
        pins = {node.node_id: len(pinned & {*node.core_ids}) for node in nodes}
        return _pages_by_pins(guest.memory_mib * 1024, chosen_kib, pins)
    room = {node.node_id: max(0, free[pages_key(node.node_id, chosen_kib)]) for node in nodes}
    return _pages_by_room(-(-guest.memory_mib * 1024 // chosen_kib), chosen_kib, room)


def _sizes_kib(node: NumaNode) -> frozenset[int]:
    return frozenset(pages.size_kib for pages in node.huge_pages if pages.total)


def _pages_by_pins(memory_kib: int, size_kib: int, pins: Mapping[int, int]) -> dict[str, int]:
    """In proportion to the pins on each node, so that all is given out: differences of running sums."""
    taken, counted, before_kib = {}, 0, 0
    for node_id, count in pins.items():
        counted += count
        upto_kib = memory_kib * counted // sum(pins.values())
        taken[pages_key(node_id, size_kib)] = -(-(upto_kib - before_kib) // size_kib)
        before_kib = upto_kib
    return taken


def _pages_by_room(pages: int, size_kib: int, room: Mapping[int, int]) -> dict[str, int]:
    """Of the nodes with most room first. What is more than all have is of the first of them: it is a fact anyway."""
    order = sorted(room, key=lambda node_id: (-room[node_id], node_id))
    taken = {}
    for node_id in order:
        taken[node_id] = min(room[node_id], pages)
        pages -= taken[node_id]
    taken[order[0]] += pages
    return {pages_key(node_id, size_kib): count for node_id, count in taken.items() if count}


def _functions(guest: Found, stock: Stock, before: Mapping[Holder, Counted]) -> Mapping[str, int]:
    """By port. A card whose port the hypervisor does not tell has the one that the ledger knows of, if any."""
    sources = [nic["source"] for nic in guest.nics if nic["kind"] == NicKind.SRIOV.value]
    told = Counter(stock.first_ports[source] for source in sources if source in stock.first_ports)
    known = before.get(holder_of(guest))
    untold = Counter(known.functions if known is not None else {}) - told
    return told + Counter([*untold.elements()][: len(sources) - told.total()])
