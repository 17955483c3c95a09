"""What a guest is told of its own cards: a cloud-init network configuration, version 2. Pure.

Written as JSON, which every reader of YAML takes.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Container, Iterable
from typing import Any

from common.values import NicAddress, NicSpec


def network_config(nics: Iterable[NicSpec], *, leased: Container[str] = ()) -> str | None:
    """The text of `network-config`, or None when the guest does as well without: it asks DHCP by itself then.

    Cards are known by their MAC address, whatever the guest calls them. Those named in `leased` get the address that
    they are to have from the hypervisor's own DHCP server. Cards that are not to be configured are left out. Only the
    first address of each family brings its gateway: a guest has one default route.
    """
    nics = tuple(nics)
    if not any(_must_be_told(nic, leased) for nic in nics):
        return None
    routed: set[int] = set()
    cards = {nic.name: _card(nic, leased, routed) for nic in nics if nic.configured}
    return json.dumps({"version": 2, "ethernets": cards}, indent=2)


def _must_be_told(nic: NicSpec, leased: Container[str]) -> bool:
    return not nic.configured or (nic.address is not None and nic.name not in leased)


def _card(nic: NicSpec, leased: Container[str], routed: set[int]) -> dict[str, Any]:
    card: dict[str, Any] = {"match": {"macaddress": nic.mac_address.lower()}}
    if nic.address is None:
        return {**card, "dhcp4": True}
    family = ipaddress.ip_address(nic.address.address).version
    if nic.name in leased:
        return {**card, f"dhcp{family}": True}
    return {**card, "dhcp4": False, **_static(nic.address, family, routed)}


def _static(address: NicAddress, family: int, routed: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [f"{address.address}/{address.prefix_length}"]}
    if address.gateway is not None and family not in routed:
        routed.add(family)
        anywhere = "0.0.0.0/0" if family == 4 else "::/0"
        found["routes"] = [{"to": anywhere, "via": address.gateway}]
    if address.dns_servers:
        found["nameservers"] = {"addresses": list(address.dns_servers)}
    return found
