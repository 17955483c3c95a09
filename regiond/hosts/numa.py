"""What each NUMA node of a server has, and what guests that are pinned to its cores use of it. Pure.

A guest without pins runs wherever the hypervisor likes, so it counts on no node. Virtual functions belong to the node
of their card, whoever has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from common.hardware import NetworkCard
from common.values import HugePages, NumaNode


@frozen(kw_only=True)
class PlacedGuest:
    """A guest that has pins or virtual functions. `ours`: it is a machine. `ports` name the cards of the functions."""

    id: int
    ours: bool
    memory_mib: int
    pinned_core_ids: frozenset[int] = frozenset()
    huge_pages_backed: bool = False
    ports: tuple[str, ...] = ()  # once for each virtual function


@frozen(kw_only=True)
class Share:
    """An amount of one resource of a node. `free` is less than 0 where more was given out than there is."""

    total: int
    used_by_ours: int = 0
    used_by_others: int = 0

    @property
    def free(self) -> int:
        return self.total - self.used_by_ours - self.used_by_others


@frozen(kw_only=True)
class CoreShare:
    """Ids of hardware threads, sorted. A core that two guests are pinned to is in both lists."""

    total: tuple[int, ...]
    used_by_ours: tuple[int, ...]
    used_by_others: tuple[int, ...]
    siblings: tuple[tuple[int, ...], ...] = ()

    @property
    def free(self) -> tuple[int, ...]:
        used = {*self.used_by_ours, *self.used_by_others}
        return tuple(core_id for core_id in self.total if core_id not in used)


@frozen(kw_only=True)
class PagesShare:
    """Huge pages of one size; `pages` counts them."""

    size_kib: int
    pages: Share


@frozen(kw_only=True)
class CardShare:
    card: NetworkCard
    functions: Share


@frozen(kw_only=True)
class NodeView:
    """`general_mib` is the memory that is in no huge page; `guest_ids` those with a pin or a virtual function here."""

    node_id: int
    cores: CoreShare
    memory_mib: int
    general_mib: Share
    huge_pages: tuple[PagesShare, ...]
    cards: tuple[CardShare, ...]
    guest_ids: tuple[int, ...]


def view_of(
    nodes: Iterable[NumaNode], cards: Sequence[NetworkCard], guests: Iterable[PlacedGuest]
) -> tuple[NodeView, ...]:
    """By node id. What is taken of all nodes together is what the guests were given: no MiB is lost by rounding."""
    nodes = sorted(nodes, key=lambda node: node.node_id)
    guests = sorted(guests, key=lambda guest: guest.id)
    memory = {guest.id: _memory_by_node(guest, nodes) for guest in guests}
    return tuple(
        _node_view(
            node,
            [card for card in cards if _is_on(card, node, nodes)],
            guests,
            [(guest, memory[guest.id][node.node_id]) for guest in guests],
        )
        for node in nodes
    )


def _node_view(
    node: NumaNode,
    cards: Sequence[NetworkCard],
    guests: Sequence[PlacedGuest],
    memory: Sequence[tuple[PlacedGuest, int]],
) -> NodeView:
    default = _default_pages(node)
    reserved_kib = sum(pages.size_kib * pages.total for pages in node.huge_pages)
    on_pages = [(guest, mib) for guest, mib in memory if guest.huge_pages_backed and default is not None]
    general = [(guest, mib) for guest, mib in memory if not (guest.huge_pages_backed and default is not None)]
    ports = {port.name for card in cards for port in card.ports}
    here = {*node.core_ids}
    return NodeView(
        node_id=node.node_id,
        cores=_cores(node, guests),
        memory_mib=node.memory_mib,
        general_mib=_share(max(0, node.memory_mib * 1024 - reserved_kib) // 1024, general),
        huge_pages=tuple(_pages(pages, on_pages if pages == default else ()) for pages in node.huge_pages),
        cards=tuple(_card(card, guests) for card in cards),
        guest_ids=tuple(guest.id for guest in guests if guest.pinned_core_ids & here or ports & {*guest.ports}),
    )


def _memory_by_node(guest: PlacedGuest, nodes: Sequence[NumaNode]) -> dict[int, int]:
    """MiB by node id, in proportion to the pins on each, to less than 1 MiB: differences of running sums."""
    portions, pins, before = {}, 0, 0
    for node in nodes:
        pins += len(guest.pinned_core_ids & {*node.core_ids})
        upto = guest.memory_mib * pins // max(1, len(guest.pinned_core_ids))
        portions[node.node_id] = upto - before
        before = upto
    return portions


def _default_pages(node: NumaNode) -> HugePages | None:
    """Guests do not say which size they use: it is taken to be the smallest that there are pages of."""
    return min((pages for pages in node.huge_pages if pages.total), key=lambda pages: pages.size_kib, default=None)


def _is_on(card: NetworkCard, node: NumaNode, nodes: Sequence[NumaNode]) -> bool:
    return card.numa_node == node.node_id or (card.numa_node is None and len(nodes) == 1)


def _cores(node: NumaNode, guests: Iterable[PlacedGuest]) -> CoreShare:
    pinned: dict[bool, set[int]] = {True: set(), False: set()}
    for guest in guests:
        pinned[guest.ours] |= guest.pinned_core_ids & {*node.core_ids}
    return CoreShare(
        total=tuple(sorted(node.core_ids)),
        used_by_ours=tuple(sorted(pinned[True])),
        used_by_others=tuple(sorted(pinned[False])),
        siblings=node.siblings,
    )


def _pages(pages: HugePages, used: Iterable[tuple[PlacedGuest, int]]) -> PagesShare:
    counted = [(guest, -(-mib * 1024 // pages.size_kib)) for guest, mib in used]
    return PagesShare(size_kib=pages.size_kib, pages=_share(pages.total, counted))


def _card(card: NetworkCard, guests: Iterable[PlacedGuest]) -> CardShare:
    names = {port.name for port in card.ports}
    taken = [(guest, sum(port in names for port in guest.ports)) for guest in guests]
    return CardShare(card=card, functions=_share(card.virtual_functions, taken))


def _share(total: int, used: Iterable[tuple[PlacedGuest, int]]) -> Share:
    used = list(used)
    return Share(
        total=total,
        used_by_ours=sum(amount for guest, amount in used if guest.ours),
        used_by_others=sum(amount for guest, amount in used if not guest.ours),
    )
