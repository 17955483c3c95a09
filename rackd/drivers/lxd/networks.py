"""What an LXD server's cards for guests can be attached to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.hardware import NetworkCard, NetworkPort
from common.values import HostNetwork, NicKind
from rackd.drivers.lxd import network_details as details

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


@frozen(kw_only=True)
class Port:
    """A port of a card, with its share of the functions that the card can be divided into."""

    port: NetworkPort
    virtual_functions: int


def ports_of(cards: Iterable[NetworkCard]) -> dict[str, Port]:
    """By name. Ports of one PCI device share its functions."""
    return {
        port.name: Port(port=port, virtual_functions=card.virtual_functions // len(card.ports))
        for card in cards
        for port in card.ports
    }


def with_state(networks: Iterable[Json], virtual_functions: Collection[str] = ()) -> list[str]:
    """The names of those of which LXD can tell more one at a time, and it matters: interfaces that the server has.

    Their number does not grow with the guests, whose own ends of cables are not among them.
    """
    return [
        str(told["name"])
        for told in networks
        if (told.get("type") == "bridge" if told.get("managed") else _is_offered(told, virtual_functions))
    ]


def networks_of(
    networks: Iterable[Json],
    virtual_functions: Collection[str] = (),
    *,
    states: Mapping[str, Json] | None = None,
    cards: Iterable[NetworkCard] = (),
) -> tuple[HostNetwork, ...]:
    """Networks that LXD manages, then interfaces of the server that a guest can be put on, the best first.

    Those in `virtual_functions` are left out: LXD gives them to guests, whole. `states` has what LXD tells of each
    interface; one that it does not tell of is known by its name only.
    """
    networks = list(networks)
    offered = [told for told in networks if told.get("managed") or _is_offered(told, virtual_functions)]
    states = states or {}
    here = _Host(
        offered=offered,
        states=states,
        ports=ports_of(cards),
        taken=_taken(networks),
        enslaved=_enslaved(states.values()),
    )
    return tuple(sorted(map(here.network, offered), key=_rank))


def _is_offered(told: Json, virtual_functions: Collection[str]) -> bool:
    return told.get("type") in _HOST_KINDS and told["name"] not in virtual_functions


def _taken(networks: Iterable[Json]) -> frozenset[str]:
    """Interfaces that networks of LXD have for themselves: the kernel lets no guest onto them any more."""
    found: set[str] = set()
    for told in networks:
        config: Json = told.get("config") or {}
        if told.get("managed"):
            found.update(map(str.strip, (config.get("bridge.external_interfaces") or "").split(",")))
            found.add(config.get("parent", "") if told.get("type") == "physical" else "")
    return frozenset(found)


def _enslaved(states: Iterable[Json]) -> frozenset[str]:
    """Ports of bonds and bridges: they take no guest but on a virtual function."""
    parts = (("bond", "lower_devices"), ("bridge", "upper_devices"))
    return frozenset(name for state in states for part, key in parts for name in details.names_in(state, part, key))


def _rank(network: HostNetwork) -> tuple[bool, bool, int, str]:
    place = _ORDER.index(network.type) if network.type in _ORDER else len(_ORDER)
    return network.kind is not NicKind.NETWORK, not network.attachable, place, network.name


@frozen(kw_only=True)
class _Host:
    offered: Sequence[Json]
    states: Mapping[str, Json]
    ports: Mapping[str, Port]
    taken: Collection[str]
    enslaved: Collection[str]

    def network(self, told: Json) -> HostNetwork:
        return self._managed(told) if told.get("managed") else self._interface(told)

    def _managed(self, told: Json) -> HostNetwork:
        name, kind = str(told["name"]), str(told.get("type"))
        config: Json = told.get("config") or {}
        state = self.states.get(name, {})
        own = details.addresses_of(config) or details.addresses_in(state)
        ranges = details.dhcp_ranges(config) if kind in {"bridge", "ovn"} else ()
        vid, parent = self._tag(told, state)
        return HostNetwork(
            kind=NicKind.NETWORK,
            name=name,
            type=kind,
            attachable=kind in _ATTACHABLE,
            active=told.get("status") == "Created",
            bridge=name if kind == "bridge" else None,
            dhcp=kind in {"bridge", "ovn"} and bool(own) and config.get("ipv4.dhcp") != "false",
            cidrs=details.cidrs_of(own),
            vid=vid,
            parent=parent,
            mac_address=details.mac_address(state),
            addresses=own if kind == "bridge" else (),
            gateway=details.gateway(config),
            dhcp_ranges=ranges,
        )

    def _interface(self, told: Json) -> HostNetwork:
        name, kind = str(told["name"]), str(told["type"])
        state, port = self.states.get(name, {}), self.ports.get(name)
        functions = port.virtual_functions if port else 0
        addresses = details.addresses_in(state)
        vid, parent = self._tag(told, state)
        return HostNetwork(
            kind=_HOST_KINDS[kind],
            name=name,
            type=kind,
            attachable=name not in self.taken and (functions > 0 or name not in self.enslaved),
            active=state.get("state") != "down",
            cidrs=details.cidrs_of(addresses),
            vid=vid,
            parent=parent,
            mac_address=(port.port.mac_address if port else None) or details.mac_address(state),
            addresses=addresses,
            speed_mbps=port.port.speed_mbps if port else None,
            virtual_functions=functions,
        )

    def _tag(self, told: Json, state: Json) -> tuple[int | None, str | None]:
        """The VLAN that its frames are of on the wire (0: without a tag), and the interface that leads there."""
        if told.get("managed") and told.get("type") != "bridge":
            return details.vlan_of_config(told.get("config") or {})
        if told.get("type") == "vlan":
            return details.vlan_of(str(told["name"]), state)
        if told.get("type") == "bridge" and (uplink := self._uplink(state)) is not None:
            name = str(uplink["name"])
            if uplink.get("type") == "vlan":
                return details.vlan_of(name, self.states.get(name, {}))
            return 0, name
        return 0, None

    def _uplink(self, state: Json) -> Json | None:
        """The interface of the server that is a port of this bridge; guests' cards are ports too."""
        ports = details.names_in(state, "bridge", "upper_devices")
        found = (told for told in self.offered if not told.get("managed") and told["name"] in ports)
        return min(found, key=lambda told: str(told["name"]), default=None)
