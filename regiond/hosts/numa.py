"""What each NUMA node of a server has, and what is claimed of it: the sums of the ledger's claims. Pure.

Claims of cores and huge pages say on which node they are; those of virtual functions are on the node of their card.
General memory is claimed of the whole server: a guest with pins has it on the nodes of its pins, in proportion to
those, and one without has it wherever the hypervisor likes, so that counts on no node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from common.hardware import NetworkCard
from common.values import NumaNode
from regiond.ledger.model import NOTHING_COUNTED, Counted, read_pages_key


@frozen(kw_only=True)
class Holding:
    """What one guest holds by node. `ours`: it is a machine. `guest_id` is None while its guest is not made yet."""

    guest_id: int | None
    ours: bool
    general_mib: int = 0
    counted: Counted = NOTHING_COUNTED


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
    """`general_mib` is the memory that is in no huge page; `guest_ids` those with a pin, huge page or function here."""

    node_id: int
    cores: CoreShare
    memory_mib: int
    general_mib: Share
    huge_pages: tuple[PagesShare, ...]
    cards: tuple[CardShare, ...]
    guest_ids: tuple[int, ...]


def view_of(
    nodes: Iterable[NumaNode], cards: Sequence[NetworkCard], holdings: Iterable[Holding]
) -> tuple[NodeView, ...]:
    """By node id. What is taken of all nodes together is what the guests hold: no MiB is lost by rounding."""
    nodes = sorted(nodes, key=lambda node: node.node_id)
    holdings = list(holdings)
    general = [(holding, _general_by_node(holding, nodes)) for holding in holdings]
    return tuple(
        _node_view(
            node,
            [card for card in cards if _is_on(card, node, nodes)],
            holdings,
            [(holding, mib[node.node_id]) for holding, mib in general],
        )
        for node in nodes
    )


def _node_view(
    node: NumaNode,
    cards: Sequence[NetworkCard],
    holdings: Sequence[Holding],
    general: Sequence[tuple[Holding, int]],
) -> NodeView:
    huge_kib = sum(pages.size_kib * pages.total for pages in node.huge_pages)
    here = [holding for holding in holdings if _is_here(holding.counted, node, cards)]
    return NodeView(
        node_id=node.node_id,
        cores=_cores(node, holdings),
        memory_mib=node.memory_mib,
        general_mib=_share(max(0, node.memory_mib * 1024 - huge_kib) // 1024, general),
        huge_pages=_pages(node, holdings),
        cards=tuple(_card(card, holdings) for card in cards),
        guest_ids=tuple(sorted(holding.guest_id for holding in here if holding.guest_id is not None)),
    )


def _general_by_node(holding: Holding, nodes: Sequence[NumaNode]) -> dict[int, int]:
    """MiB by node id, in proportion to the pins on each, to less than 1 MiB: differences of running sums."""
    pinned = {*holding.counted.pinned_core_ids}
    portions, pins, before = {}, 0, 0
    for node in nodes:
        pins += len(pinned & {*node.core_ids})
        upto = holding.general_mib * pins // max(1, len(pinned))
        portions[node.node_id] = upto - before
        before = upto
    return portions


def _is_on(card: NetworkCard, node: NumaNode, nodes: Sequence[NumaNode]) -> bool:
    return card.numa_node == node.node_id or (card.numa_node is None and len(nodes) == 1)


def _is_here(counted: Counted, node: NumaNode, cards: Iterable[NetworkCard]) -> bool:
    ports = {port.name for card in cards for port in card.ports}
    on_pages = any(read_pages_key(key)[0] == node.node_id for key in counted.huge_pages)
    return on_pages or bool({*counted.pinned_core_ids} & {*node.core_ids} or ports & {*counted.functions})


def _cores(node: NumaNode, holdings: Iterable[Holding]) -> CoreShare:
    pinned: dict[bool, set[int]] = {True: set(), False: set()}
    for holding in holdings:
        pinned[holding.ours] |= {*holding.counted.pinned_core_ids} & {*node.core_ids}
    return CoreShare(
        total=tuple(sorted(node.core_ids)),
        used_by_ours=tuple(sorted(pinned[True])),
        used_by_others=tuple(sorted(pinned[False])),
        siblings=node.siblings,
    )


def _pages(node: NumaNode, holdings: Iterable[Holding]) -> tuple[PagesShare, ...]:
    """Every size that there are pages of, then those that are claimed and not there any more."""
    used: dict[int, list[tuple[Holding, int]]] = {pages.size_kib: [] for pages in node.huge_pages}
    for holding in holdings:
        for key, pages in sorted(holding.counted.huge_pages.items()):
            node_id, size_kib = read_pages_key(key)
            if node_id == node.node_id:
                used.setdefault(size_kib, []).append((holding, pages))
    totals = {pages.size_kib: pages.total for pages in node.huge_pages}
    return tuple(
        PagesShare(size_kib=size_kib, pages=_share(totals.get(size_kib, 0), used[size_kib]))
        for size_kib in (*totals, *sorted(used.keys() - totals.keys()))
    )


def _card(card: NetworkCard, holdings: Iterable[Holding]) -> CardShare:
    names = {port.name for port in card.ports}
    taken = [
        (holding, sum(functions for port, functions in holding.counted.functions.items() if port in names))
        for holding in holdings
    ]
    return CardShare(card=card, functions=_share(card.virtual_functions, taken))


def _share(total: int, used: Iterable[tuple[Holding, int]]) -> Share:
    used = list(used)
    return Share(
        total=total,
        used_by_ours=sum(amount for holding, amount in used if holding.ours),
        used_by_others=sum(amount for holding, amount in used if not holding.ours),
    )
