"""Converts LXD's networks and a server's interfaces to networks for guests' NICs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.hardware import NetworkDevice, NetworkPort
from common.values import HostNetwork, NicKind
from rackd.drivers.lxd.inventory import network_details as details
from rackd.drivers.lxd.inventory.config_values import is_true

Json = Mapping[str, Any]

# In order of preference. NICs on networks of other types would take a virtual function that is not counted (`sriov`),
# or a whole interface of the server (`physical`, the uplink of networks of type `ovn`).
_ATTACHABLE = ("bridge", "ovn", "macvlan")
# Interfaces of the server in order of preference: a bond before its ports, which accept no guests. Interfaces of other
# types (loopback, and `unknown`: those of guests) are not attachable.
_HOST_KINDS = {
    "bridge": NicKind.BRIDGE,
    "bond": NicKind.MACVLAN,
    "physical": NicKind.MACVLAN,
    "vlan": NicKind.MACVLAN,
}
_ORDER = (*_ATTACHABLE, *_HOST_KINDS)


@frozen(kw_only=True)
class Port:
    """A port of a network device, with its share of the device's virtual functions."""

    port: NetworkPort
    virtual_functions: int


def ports_of(devices: Iterable[NetworkDevice]) -> dict[str, Port]:
    """Returns the ports by name. The ports of one PCI device share its functions."""
    return {
        port.name: Port(port=port, virtual_functions=device.virtual_functions // len(device.ports))
        for device in devices
        for port in device.ports
    }


def with_state(networks: Iterable[Json], virtual_functions: Collection[str] = ()) -> list[str]:
    """Returns the names of networks and interfaces whose state is worth one request each.

    Their number does not grow with the guests, whose interfaces are not among them.
    """
    return [
        str(response["name"])
        for response in networks
        if (response.get("type") == "bridge" if response.get("managed") else _is_offered(response, virtual_functions))
    ]


def networks_of(
    networks: Iterable[Json],
    virtual_functions: Collection[str] = (),
    *,
    states: Mapping[str, Json] | None = None,
    devices: Iterable[NetworkDevice] = (),
) -> tuple[HostNetwork, ...]:
    """Returns LXD's managed networks, then the server's attachable interfaces, in order of preference.

    Omits `virtual_functions`, which LXD gives to guests. `states` has the state of interfaces by name; an interface
    without one has only its name.
    """
    networks = list(networks)
    offered = [response for response in networks if response.get("managed") or _is_offered(response, virtual_functions)]
    states = states or {}
    here = _Host(
        offered=offered,
        states=states,
        ports=ports_of(devices),
        taken=_taken(networks),
        member_ports=_member_ports(states.values()),
    )
    return tuple(sorted(map(here.network, offered), key=_rank))


def _is_offered(response: Json, virtual_functions: Collection[str]) -> bool:
    return response.get("type") in _HOST_KINDS and response["name"] not in virtual_functions


def _taken(networks: Iterable[Json]) -> frozenset[str]:
    """Returns the interfaces that LXD's networks use exclusively."""
    found: set[str] = set()
    for response in networks:
        config: Json = response.get("config") or {}
        if response.get("managed"):
            found.update(map(str.strip, (config.get("bridge.external_interfaces") or "").split(",")))
            found.add(config.get("parent", "") if response.get("type") == "physical" else "")
    return frozenset(found)


def _member_ports(states: Iterable[Json]) -> frozenset[str]:
    """Returns the ports of bonds and bridges, which are attachable only for their virtual functions."""
    parts = (("bond", "lower_devices"), ("bridge", "upper_devices"))
    return frozenset(name for state in states for part, key in parts for name in details.names_in(state, part, key))


def _rank(network: HostNetwork) -> tuple[bool, bool, int, str]:
    preference = _ORDER.index(network.type) if network.type in _ORDER else len(_ORDER)
    return network.kind is not NicKind.NETWORK, not network.attachable, preference, network.name


@frozen(kw_only=True)
class _Host:
    offered: Sequence[Json]
    states: Mapping[str, Json]
    ports: Mapping[str, Port]
    taken: Collection[str]
    member_ports: Collection[str]

    def network(self, response: Json) -> HostNetwork:
        return self._managed(response) if response.get("managed") else self._interface(response)

    def _managed(self, response: Json) -> HostNetwork:
        name, kind = str(response["name"]), str(response.get("type"))
        config: Json = response.get("config") or {}
        state = self.states.get(name, {})
        own = details.addresses_of(config) or details.addresses_in(state)
        ranges = details.dhcp_ranges(config) if kind in {"bridge", "ovn"} else ()
        vid, parent = self._tag(response, state)
        return HostNetwork(
            kind=NicKind.NETWORK,
            name=name,
            type=kind,
            attachable=kind in _ATTACHABLE,
            active=response.get("status") == "Created",
            bridge=name if kind == "bridge" else None,
            dhcp=kind in {"bridge", "ovn"} and bool(own) and is_true(config.get("ipv4.dhcp"), unset=True),
            cidrs=details.cidrs_of(own),
            vid=vid,
            parent=parent,
            mac_address=details.mac_address(state),
            addresses=own if kind == "bridge" else (),
            gateway=details.gateway(config),
            dhcp_ranges=ranges,
        )

    def _interface(self, response: Json) -> HostNetwork:
        name, kind = str(response["name"]), str(response["type"])
        state, port = self.states.get(name, {}), self.ports.get(name)
        functions = port.virtual_functions if port else 0
        addresses = details.addresses_in(state)
        vid, parent = self._tag(response, state)
        return HostNetwork(
            kind=_HOST_KINDS[kind],
            name=name,
            type=kind,
            attachable=name not in self.taken and (functions > 0 or name not in self.member_ports),
            active=state.get("state") != "down",
            cidrs=details.cidrs_of(addresses),
            vid=vid,
            parent=parent,
            mac_address=(port.port.mac_address if port else None) or details.mac_address(state),
            addresses=addresses,
            speed_mbps=port.port.speed_mbps if port else None,
            virtual_functions=functions,
        )

    def _tag(self, response: Json, state: Json) -> tuple[int | None, str | None]:
        """Returns the VLAN id of its frames on the wire (0: untagged) and the parent interface."""
        if response.get("managed") and response.get("type") != "bridge":
            return details.vlan_of_config(response.get("config") or {})
        if response.get("type") == "vlan":
            return details.vlan_of(str(response["name"]), state)
        if response.get("type") == "bridge" and (uplink := self._uplink(state)) is not None:
            name = str(uplink["name"])
            if uplink.get("type") == "vlan":
                return details.vlan_of(name, self.states.get(name, {}))
            return 0, name
        return 0, None

    def _uplink(self, state: Json) -> Json | None:
        """Returns the server's interface that is a port of this bridge. Ignores the interfaces of guests."""
        ports = details.names_in(state, "bridge", "upper_devices")
        found = (response for response in self.offered if not response.get("managed") and response["name"] in ports)
        return min(found, key=lambda response: str(response["name"]), default=None)
