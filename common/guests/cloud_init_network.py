"""Builds cloud-init's network configuration, version 2, as JSON, a subset of YAML. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, le, optional

from common.guests.guest_spec import NicAddress

INTERFACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", re.ASCII)  # Linux: at most 15 characters


@frozen(kw_only=True)
class InterfaceConfig:
    """A guest's configuration of an interface. `dhcp` has the IP versions (4, 6) to request by DHCP; `mtu` is in bytes.

    `default_routes` has the IP versions whose default route must go through it, if an address of it has a gateway.
    """

    name: str
    addresses: tuple[NicAddress, ...] = ()
    dhcp: tuple[int, ...] = ()
    mtu: int | None = field(default=None, validator=optional([ge(68), le(65535)]))
    search_domains: tuple[str, ...] = ()
    default_routes: tuple[int, ...] = ()


@frozen(kw_only=True)
class VlanConfig(InterfaceConfig):
    """An interface of the guest that tags its frames with `vid` on a NIC."""

    vid: int = field(validator=[ge(1), le(4094)])


@frozen(kw_only=True)
class EthernetConfig(InterfaceConfig):
    """A NIC, found by its MAC address. With `renamed`, the guest gives it `name`, if Linux accepts that.

    With `dhcp_by_mac` it tells DHCP servers its MAC address as the guest's identifier, where systemd-networkd would
    derive one from /etc/machine-id.
    """

    mac_address: str
    renamed: bool = False
    dhcp_by_mac: bool = False
    vlans: tuple[VlanConfig, ...] = ()


def render(nics: Iterable[EthernetConfig]) -> str:
    """Returns the text of `network-config`.

    A guest has one default route for each IP version: through the gateway of the first address of an interface that
    must have it, else of the first address.
    """
    nics = tuple(nics)
    routes = _routes(nics)
    config: dict[str, Any] = {"version": 2, "ethernets": {nic.name: _ethernet(nic, routes) for nic in nics}}
    vlans = {vlan.name: _vlan(vlan, nic, routes) for nic in nics for vlan in nic.vlans}
    return json.dumps({**config, "vlans": vlans} if vlans else config, indent=2)


def ip_version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _routes(nics: Iterable[EthernetConfig]) -> dict[str, dict[int, str]]:
    """Returns for each interface, by name, the gateways of its default routes, by IP version."""
    found: dict[int, tuple[bool, str, str]] = {}
    for interface in (one for nic in nics for one in (nic, *nic.vlans)):
        for gateway in filter(None, (address.gateway for address in interface.addresses)):
            version = ip_version(gateway)
            is_chosen = version in interface.default_routes
            if version not in found or (is_chosen and not found[version][0]):
                found[version] = is_chosen, interface.name, gateway
    routes: dict[str, dict[int, str]] = {}
    for version, (_, name, gateway) in sorted(found.items()):
        routes.setdefault(name, {})[version] = gateway
    return routes


def _ethernet(nic: EthernetConfig, routes: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    ethernet: dict[str, Any] = {"match": {"macaddress": nic.mac_address.lower()}}
    if nic.renamed and INTERFACE_NAME.fullmatch(nic.name):
        ethernet["set-name"] = nic.name
    if nic.dhcp_by_mac and nic.dhcp:
        ethernet["dhcp-identifier"] = "mac"
    return {**ethernet, **_common(nic, routes)}


def _vlan(vlan: VlanConfig, nic: EthernetConfig, routes: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    return {"id": vlan.vid, "link": nic.name, **_common(vlan, routes)}


def _common(interface: InterfaceConfig, routes: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {f"dhcp{version}": True for version in interface.dhcp} or {"dhcp4": False}
    if interface.addresses:
        found["addresses"] = [f"{one.address}/{one.prefix_length}" for one in interface.addresses]
    # Not `routes`: without netplan, cloud-init turns ::/0 into ::/64, and ifupdown calls `route`, which guests lack.
    found |= {f"gateway{version}": gateway for version, gateway in routes.get(interface.name, {}).items()}
    servers = dict.fromkeys(server for address in interface.addresses for server in address.dns_servers)
    nameservers = {"addresses": list(servers), "search": list(interface.search_domains)}
    if any(nameservers.values()):
        found["nameservers"] = {key: values for key, values in nameservers.items() if values}
    if interface.mtu is not None:
        found["mtu"] = interface.mtu
    return found
