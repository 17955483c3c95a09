"""Addresses, ranges and VLANs in what LXD tells of a network: its configuration, and the state of its interface. Pure.

Whoever may use only some projects is shown no configuration. What has not the expected form counts as not told.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from common.values import HIGHEST_VID

Json = Mapping[str, Any]
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_FAMILIES = ("ipv4", "ipv6")
_VLAN_NAME = re.compile(r"(?P<parent>.+)\.(?P<vid>[0-9]{1,4})", re.ASCII)


def addresses_of(config: Json) -> tuple[str, ...]:
    """The server's own on a network that LXD manages; of one for uplinks those of the gateways, for their subnets."""
    keys = [f"{family}.{key}" for family in _FAMILIES for key in ("address", "gateway")]
    return tuple(str(found) for key in keys if (found := _interface(config.get(key))) is not None)


def addresses_in(state: Json) -> tuple[str, ...]:
    """Those of an interface that others can reach, in order."""
    told = state.get("addresses")
    found = {
        interface
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, Mapping) and one.get("scope") == "global"
        if (interface := _interface(f"{one.get('address')}/{one.get('netmask')}")) is not None
    }
    return tuple(str(one) for one in sorted(found, key=lambda one: (one.version, one)))


def cidrs_of(addresses: Iterable[str]) -> tuple[str, ...]:
    """The subnets that those addresses are in. A lone address (`/32`, `/128`) is in none."""
    networks = (ipaddress.ip_interface(address).network for address in addresses)
    return tuple(dict.fromkeys(str(one) for one in networks if one.num_addresses > 1))


def gateway(config: Json) -> str | None:
    """What guests send to others through: of IPv4, or of IPv6 on a network without."""
    for family in _FAMILIES:
        own = _interface(config.get(f"{family}.gateway")) or _interface(config.get(f"{family}.address"))
        if own is not None:
            return str(config.get(f"{family}.dhcp.gateway") or own.ip)
    return None


def leases(config: Json, version: int) -> bool:
    """Whether LXD's own DHCP server hands out addresses there that are set on cards; as by default where it is not
    told."""
    if not config:
        return version == 4
    if _interface(config.get(f"ipv{version}.address")) is None or config.get(f"ipv{version}.dhcp") == "false":
        return False
    return version == 4 or config.get("ipv6.dhcp.stateful") == "true"


def holds(config: Json, address: str) -> bool:
    """Whether the network's subnet is known not to be another than that of the address."""
    wanted = ipaddress.ip_address(address)
    own = _interface(config.get(f"ipv{wanted.version}.address"))
    return own is None or wanted in own.network


def dhcp_ranges(config: Json) -> tuple[str, ...]:
    """`10.1.0.2-10.1.0.254`, …: as configured, else all that LXD takes of the subnet by default."""
    found: list[str] = []
    for version in (4, 6):
        own = _interface(config.get(f"ipv{version}.address"))
        if own is not None and leases(config, version):
            told = str(config.get(f"ipv{version}.dhcp.ranges") or "")
            found += [text for part in told.split(",") if (text := part.replace(" ", ""))] or _whole(own)
    return tuple(found)


def _whole(own: Interface) -> list[str]:
    net = own.network
    first, last = 2, net.num_addresses - (2 if net.version == 4 else 1)  # the last of IPv4 is for broadcasts
    return [f"{net[first]}-{net[last]}"] if first <= last else []


def vlan_of_config(config: Json) -> tuple[int | None, str | None]:
    """Of a network that is a tag on an interface: None when there is no such interface (`ovn`)."""
    parent = str(config.get("parent") or "") or None
    vid = _vid(config.get("vlan"))
    return (vid or 0, parent) if parent else (None, None)


def vlan_of(name: str, state: Json) -> tuple[int | None, str | None]:
    """Of a VLAN interface, whose name mostly says as much as its state does."""
    told = state.get("vlan")
    if isinstance(told, Mapping) and (vid := _vid(told.get("vid"))) is not None and told.get("lower_device"):
        return vid, str(told["lower_device"])
    found = _VLAN_NAME.fullmatch(name)
    vid = _vid(found["vid"]) if found else None
    return (vid, found["parent"]) if found and vid is not None else (None, None)


def mac_address(state: Json) -> str | None:
    told = state.get("hwaddr")
    return told.lower() if isinstance(told, str) and told else None


def names_in(state: Json, part: str, key: str) -> frozenset[str]:
    """The interfaces that a bond or a bridge says it is made of."""
    told = state.get(part)
    names = told.get(key) if isinstance(told, Mapping) else None
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def _vid(told: Any) -> int | None:
    text = str(told) if isinstance(told, int | str) and not isinstance(told, bool) else ""
    found = int(text) if text.isascii() and text.isdecimal() else None
    return found if found is not None and found <= HIGHEST_VID else None


def _interface(text: Any) -> Interface | None:
    """None for no address, and for `auto` on a network that is still being made."""
    try:
        found = ipaddress.ip_interface(text) if isinstance(text, str) and "/" in text else None
    except ValueError:
        return None
    return found
