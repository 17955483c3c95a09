"""Builds a guest's cloud-init network configuration (version 2) as JSON, a subset of YAML."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Container, Iterable
from typing import Any

from common.guest_spec import NicAddress, NicSpec


def network_config(nics: Iterable[NicSpec], *, leased: Container[str] = ()) -> str | None:
    """Returns the text of `network-config`, or None if the guest needs none because it uses DHCP by default.

    Matches NICs by MAC address. NICs in `leased` receive their static address from the hypervisor's DHCP server. Omits
    NICs that must not be configured. Only the first address of each family brings its gateway: a guest has one default
    route.
    """
    nics = tuple(nics)
    if not any(_needs_config(nic, leased) for nic in nics):
        return None
    routed: set[int] = set()
    ethernets = {nic.name: _ethernet(nic, leased, routed) for nic in nics if nic.configured}
    return json.dumps({"version": 2, "ethernets": ethernets}, indent=2)


def _needs_config(nic: NicSpec, leased: Container[str]) -> bool:
    return not nic.configured or (nic.address is not None and nic.name not in leased)


def _ethernet(nic: NicSpec, leased: Container[str], routed: set[int]) -> dict[str, Any]:
    ethernet: dict[str, Any] = {"match": {"macaddress": nic.mac_address.lower()}}
    if nic.address is None:
        return {**ethernet, "dhcp4": True}
    family = ipaddress.ip_address(nic.address.address).version
    if nic.name in leased:
        return {**ethernet, f"dhcp{family}": True}
    return {**ethernet, "dhcp4": False, **_static(nic.address, family, routed)}


def _static(address: NicAddress, family: int, routed: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [f"{address.address}/{address.prefix_length}"]}
    if address.gateway is not None and family not in routed:
        routed.add(family)
        anywhere = "0.0.0.0/0" if family == 4 else "::/0"
        found["routes"] = [{"to": anywhere, "via": address.gateway}]
    if address.dns_servers:
        found["nameservers"] = {"addresses": list(address.dns_servers)}
    return found
