"""Maps an interface of a host to the interface type that MAAS clients know. Pure."""

from __future__ import annotations

from common.values import NicKind

_SAME_IN_MAAS = frozenset({"physical", "bond", "bridge", "vlan"})


def interface_type(kind: str, type: str) -> str:
    """`physical`, `bond`, `bridge`, `vlan` or `unknown`. A network of the hypervisor is a bridge to its guests."""
    if kind in {NicKind.NETWORK, NicKind.BRIDGE}:
        return "bridge"
    return type if type in _SAME_IN_MAAS else "unknown"
