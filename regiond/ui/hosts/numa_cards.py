"""The VMs of a host by NUMA node: one card each, with what guests hold of the node. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.hosts.model import GuestView, NumaNodeView
from regiond.ui import formats


@frozen(kw_only=True)
class Pages:
    """Huge pages of one size."""

    size: str
    free: int
    total: int


@frozen(kw_only=True)
class NumaCard:
    """`guests` are those with a pin, huge page or virtual function of the node; others run anywhere."""

    node_id: int
    cores: int
    pinned: str
    unpinned: str
    memory_free: str
    memory: str
    pages: tuple[Pages, ...]
    functions: tuple[tuple[str, int, int], ...]
    guests: tuple[GuestView, ...]


def numa_cards(nodes: Iterable[NumaNodeView], guests: Iterable[GuestView]) -> tuple[NumaCard, ...]:
    by_id = {guest.id: guest for guest in guests}
    return tuple(_card(node, by_id) for node in nodes)


def _card(node: NumaNodeView, guests: dict[int, GuestView]) -> NumaCard:
    here = [guests[guest_id] for guest_id in node.guest_ids if guest_id in guests]
    return NumaCard(
        node_id=node.node_id,
        cores=len(node.cores.total),
        pinned=formats.ranges({*node.cores.used_by_ours, *node.cores.used_by_others}) or "none",
        unpinned=formats.ranges(node.cores.free) or "none",
        memory_free=formats.memory(max(0, node.general_mib.free)),
        memory=formats.memory(node.general_mib.total),
        pages=tuple(
            Pages(size=formats.memory(one.size_kib // 1024), free=one.pages.free, total=one.pages.total)
            for one in node.huge_pages
        ),
        functions=tuple(
            (
                ", ".join(port.name for port in one.device.ports) or one.device.pci_address or formats.DASH,
                one.functions.free,
                one.functions.total,
            )
            for one in node.network_devices
            if one.functions.total
        ),
        guests=tuple(sorted(here, key=lambda guest: guest.hostname or guest.name)),
    )
