"""What an LXD server's cards for guests can be attached to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Mapping
from typing import Any

from common.values import HostNetwork, NicKind

Json = Mapping[str, Any]

# The best first. A card on a network of another type would take a virtual function that nobody has counted (`sriov`),
# or a whole interface of the server (`physical`, which networks of type `ovn` go out through).
_ATTACHABLE = ("bridge", "ovn", "macvlan")
# Interfaces of the server, the best first: ports of a bond refuse guests, so the bond goes before them. The others
# (loopback, and `unknown`: what LXD and libvirt made for their guests) come and go and are nothing to attach to.
_HOST_KINDS = {
    "bridge": NicKind.BRIDGE,
    "bond": NicKind.MACVLAN,
    "physical": NicKind.MACVLAN,
    "vlan": NicKind.MACVLAN,
}
_ORDER = (*_ATTACHABLE, *_HOST_KINDS)


def networks_of(networks: Iterable[Json], virtual_functions: Container[str] = ()) -> tuple[HostNetwork, ...]:
    """Networks that LXD manages, then interfaces of the server that a guest can be put on, the best first.

    Those in `virtual_functions` are left out: LXD gives them to guests, whole.
    """
    networks = list(networks)
    taken = _taken(networks)
    found = [_network(told, taken) for told in networks if told.get("managed") or _is_offered(told, virtual_functions)]
    return tuple(sorted(found, key=_rank))


def _taken(networks: Iterable[Json]) -> frozenset[str]:
    """Interfaces that networks of LXD have for themselves: the kernel lets no guest onto them any more."""
    found: set[str] = set()
    for told in networks:
        config: Json = told.get("config") or {}
        if told.get("managed"):
            found.update(map(str.strip, (config.get("bridge.external_interfaces") or "").split(",")))
            found.add(config.get("parent", "") if told.get("type") == "physical" else "")
    return frozenset(found)


def _is_offered(told: Json, virtual_functions: Container[str]) -> bool:
    return told.get("type") in _HOST_KINDS and told["name"] not in virtual_functions


def _rank(network: HostNetwork) -> tuple[bool, bool, int, str]:
    place = _ORDER.index(network.type) if network.type in _ORDER else len(_ORDER)
    return network.kind is not NicKind.NETWORK, not network.attachable, place, network.name


def _network(told: Json, taken: Container[str]) -> HostNetwork:
    name, kind = str(told["name"]), str(told.get("type"))
    if not told.get("managed"):
        return HostNetwork(kind=_HOST_KINDS[kind], name=name, type=kind, attachable=name not in taken)
    config: Json = told.get("config") or {}
    cidrs = tuple(filter(None, (_cidr(config.get(f"{family}.address")) for family in ("ipv4", "ipv6"))))
    return HostNetwork(
        kind=NicKind.NETWORK,
        name=name,
        type=kind,
        attachable=kind in _ATTACHABLE,
        active=told.get("status") == "Created",
        bridge=name if kind == "bridge" else None,
        dhcp=kind in {"bridge", "ovn"} and bool(cidrs) and config.get("ipv4.dhcp") != "false",
        cidrs=cidrs,
    )


def _cidr(address: str | None) -> str | None:
    try:
        return str(ipaddress.ip_interface(address or "").network)
    except ValueError:
        return None  # none, or `auto` on a network that is still being made
