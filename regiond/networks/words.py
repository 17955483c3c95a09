"""The word of MAAS for what an interface of a host is, which constraints ask for and clients show."""

from __future__ import annotations

from common.values import NicKind

_AS_THEY_ARE = frozenset({"physical", "bond", "bridge", "vlan"})


def interface_type(kind: str, type: str) -> str:
    """`physical`, `bond`, `bridge`, `vlan` or `unknown`. Guests see a network of a hypervisor as a bridge."""
    if kind in {NicKind.NETWORK, NicKind.BRIDGE}:
        return "bridge"
    return type if type in _AS_THEY_ARE else "unknown"
