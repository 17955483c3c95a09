"""Which cores and huge pages a machine gets on a host, and of which NUMA nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.placement.cores import PinOption, pin_options
from regiond.placement.model import HostOffer, NodeOffer, PagesOffer, PagesPlace, Wish

KIB_PER_MIB = 1024
KIB_PER_GIB = 1024 * 1024


@frozen(kw_only=True)
class NumaPlace:
    """`node_ids` are those that memory comes from; empty when it is not in huge pages."""

    core_ids: tuple[int, ...] = ()
    pages: tuple[PagesPlace, ...] = ()
    node_ids: tuple[int, ...] = ()


def assign_numa(wish: Wish, host: HostOffer) -> tuple[NumaPlace, tuple[str, ...]]:
    """Cores and pages, or the reasons why the host cannot give them: of the cores first, then of the pages.

    Pages are of the nodes whose cores the machine is pinned to. Those of a machine that is not pinned are of the nodes
    with most of them free, or with `one_numa_node` of the one with the fewest that are enough.
    """
    if wish.pins is None and not wish.huge_pages:
        return NumaPlace(), ()
    nodes = sorted(host.nodes, key=lambda node: node.node_id)
    options, no_pins = _options(wish, nodes)
    where = "" if no_pins is not None else _where(wish)
    if no_pins is not None:  # the pages are judged as if nothing was pinned: what they lack then, they lack anyhow
        options = _anywhere(nodes, one_node=wish.one_numa_node)
        where = " on one node" if wish.one_numa_node else ""
    option, pages, no_pages = _pages(wish, nodes, options, where) if wish.huge_pages else (options[0], (), None)
    reasons = tuple(reason for reason in (no_pins, no_pages) if reason is not None)
    if reasons:
        return NumaPlace(), reasons
    # General memory is counted for the whole host only: to bind it to a node that may be full would be no gain over
    # the kernel, which takes it from the node of the cores as long as there is some.
    return NumaPlace(core_ids=option.core_ids, pages=pages, node_ids=tuple(one.node_id for one in pages)), ()


def _options(wish: Wish, nodes: Sequence[NodeOffer]) -> tuple[tuple[PinOption, ...], str | None]:
    if wish.pins is None:
        return _anywhere(nodes, one_node=wish.one_numa_node), None
    return pin_options(wish.pins, nodes, one_node=wish.one_numa_node)


def _anywhere(nodes: Sequence[NodeOffer], *, one_node: bool) -> tuple[PinOption, ...]:
    if one_node and nodes:
        return tuple(PinOption(nodes=(node,)) for node in nodes)
    return (PinOption(nodes=tuple(nodes)),)


def _where(wish: Wish) -> str:
    if wish.pins is not None and wish.pins.count is not None:
        return f" on one node with {wish.pins.count} free cores"
    if wish.pins is not None:
        return " on the nodes of the pinned cores"
    return " on one node" if wish.one_numa_node else ""


def _pages(
    wish: Wish, nodes: Sequence[NodeOffer], options: Sequence[PinOption], where: str
) -> tuple[PinOption, tuple[PagesPlace, ...], str | None]:
    """The first way to pin that has the pages too, of the smallest size that does."""
    sizes, reason = _sizes(wish, nodes)
    for size_kib in sizes:
        wanted = wish.memory_mib * KIB_PER_MIB // size_kib
        enough = [option for option in options if _free(option.nodes, size_kib) >= wanted]
        if wish.pins is None:  # of single nodes, the one with the fewest; of all together there is no other
            enough.sort(key=lambda option: _free(option.nodes, size_kib))
        if enough:
            return enough[0], _spread(wanted, size_kib, enough[0].nodes), None
    allowed = [node for node in nodes if any(node in option.nodes for option in options)]
    lacks = [_lack(wish, size_kib, allowed, where) for size_kib in sizes]
    return options[0], (), reason or f"huge pages: {'; '.join(lacks)}"


def _sizes(wish: Wish, nodes: Sequence[NodeOffer]) -> tuple[list[int], str | None]:
    """The sizes of pages that will do, the smallest first, or the reason why none does."""
    memory_kib, asked = wish.memory_mib * KIB_PER_MIB, wish.huge_page_size_kib
    if asked is not None and memory_kib % asked:
        return [], f"huge pages: {wish.memory_mib} MiB asked, not a multiple of {_size(asked)}"
    known = sorted({pages.size_kib for node in nodes for pages in node.pages if pages.total})
    if not known or (asked is not None and asked not in known):
        what = f"{wish.memory_mib} MiB" if asked is None else f"{memory_kib // asked} of {_size(asked)}"
        return [], f"huge pages: {what} asked, the host has none"
    fitting = [size for size in known if memory_kib % size == 0 and asked in (None, size)]
    if not fitting:
        named = " or ".join(map(_size, known))
        return [], f"huge pages: {wish.memory_mib} MiB asked, not a multiple of {named}"
    return fitting, None


def _spread(wanted: int, size_kib: int, nodes: Sequence[NodeOffer]) -> tuple[PagesPlace, ...]:
    """Of the nodes with most pages free first; by node id."""
    places: list[PagesPlace] = []
    for node in sorted(nodes, key=lambda node: (-_free((node,), size_kib), node.node_id)):
        pages = min(wanted, _free((node,), size_kib))
        if pages:
            places.append(PagesPlace(node_id=node.node_id, size_kib=size_kib, pages=pages))
            wanted -= pages
    return tuple(sorted(places, key=lambda place: place.node_id))


def _lack(wish: Wish, size_kib: int, nodes: Sequence[NodeOffer], where: str) -> str:
    wanted = wish.memory_mib * KIB_PER_MIB // size_kib
    left = (
        f"{_free((node,), size_kib)} of {sum(pages.total for pages in _of(node, size_kib))}"
        f"{' free' if number == 0 else ''} on node {node.node_id}"
        for number, node in enumerate(nodes)
    )
    return f"{wanted} of {_size(size_kib)}{where} asked, {', '.join(left)}"


def _of(node: NodeOffer, size_kib: int) -> list[PagesOffer]:
    return [pages for pages in node.pages if pages.size_kib == size_kib]


def _free(nodes: Sequence[NodeOffer], size_kib: int) -> int:
    return sum(max(0, pages.free) for node in nodes for pages in _of(node, size_kib))


def _size(size_kib: int) -> str:
    for unit, kib in (("GiB", KIB_PER_GIB), ("MiB", KIB_PER_MIB)):
        if size_kib % kib == 0:
            return f"{size_kib // kib} {unit}"
    return f"{size_kib} KiB"
