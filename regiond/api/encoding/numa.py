"""NUMA nodes. MAAS tells of them to its own pages only; the keys are ours."""

from __future__ import annotations

from typing import Any

from regiond.hosts.numa import CardShare, CoreShare, NodeView, Share

_BYTES_PER_KIB = 1024


def encode_node(node: NodeView) -> dict[str, Any]:
    """Memory in MiB; huge pages are counted, their `page_size` is in bytes."""
    return {
        "node_id": node.node_id,
        "cores": _cores(node.cores),
        "memory": {
            "total": node.memory_mib,
            "general": _share(node.general_mib),
            "hugepages": [{"page_size": of.size_kib * _BYTES_PER_KIB, **_share(of.pages)} for of in node.huge_pages],
        },
        "network_cards": [_card(card) for card in node.cards],
        "virtual_machines": list(node.guest_ids),
    }


def _cores(cores: CoreShare) -> dict[str, Any]:
    return {
        "total": list(cores.total),
        "used_by_ours": list(cores.used_by_ours),
        "used_by_others": list(cores.used_by_others),
        "free": list(cores.free),
        "siblings": [list(ids) for ids in cores.siblings],
    }


def _card(share: CardShare) -> dict[str, Any]:
    card = share.card
    return {
        "pci_address": card.pci_address,
        "product": card.product,
        "ports": [port.name for port in card.ports],
        "virtual_functions": _share(share.functions),
    }


def _share(share: Share) -> dict[str, int]:
    return {
        "total": share.total,
        "used_by_ours": share.used_by_ours,
        "used_by_others": share.used_by_others,
        "free": share.free,
    }
