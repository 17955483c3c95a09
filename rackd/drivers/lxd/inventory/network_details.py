"""Parses addresses, DHCP ranges and VLANs from a network's config and an interface's state.

Certificates restricted to projects see no config. A value of an unexpected form counts as absent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from common.values import MAX_VID
from rackd.drivers.lxd.inventory.config_values import is_true

Json = Mapping[str, Any]
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_FAMILIES = ("ipv4", "ipv6")
_VLAN_NAME = re.compile(r"(?P<parent>.+)\.(?P<vid>[0-9]{1,4})", re.ASCII)


def addresses_of(config: Json) -> tuple[str, ...]:
    """Returns the server's addresses on a managed network; on an uplink network those of the gateways."""
    keys = [f"{family}.{key}" for family in _FAMILIES for key in ("address", "gateway")]
    return tuple(str(found) for key in keys if (found := _interface(config.get(key))) is not None)


def addresses_in(state: Json) -> tuple[str, ...]:
    """Returns an interface's global addresses, sorted."""
    value = state.get("addresses")
    found = {
        interface
        for one in (value if isinstance(value, list) else ())
        if isinstance(one, Mapping) and one.get("scope") == "global"
        if (interface := _interface(f"{one.get('address')}/{one.get('netmask')}")) is not None
    }
    return tuple(str(one) for one in sorted(found, key=lambda one: (one.version, one)))


def cidrs_of(addresses: Iterable[str]) -> tuple[str, ...]:
    """Returns the subnets of these addresses. A lone address (`/32`, `/128`) has none."""
    networks = (ipaddress.ip_interface(address).network for address in addresses)
    return tuple(dict.fromkeys(str(one) for one in networks if one.num_addresses > 1))


def gateway(config: Json) -> str | None:
    """Returns the guests' default gateway: of IPv4, or on a network without IPv4 that of IPv6."""
    for family in _FAMILIES:
        own = _interface(config.get(f"{family}.gateway")) or _interface(config.get(f"{family}.address"))
        if own is not None:
            return str(config.get(f"{family}.dhcp.gateway") or own.ip)
    return None


def serves_static_leases(config: Json, version: int) -> bool:
    """Returns whether LXD's DHCP server assigns addresses set on NICs. Assumes LXD's default for an unknown config."""
    if not config:
        return version == 4
    serves = is_true(config.get(f"ipv{version}.dhcp"), unset=True)
    if _interface(config.get(f"ipv{version}.address")) is None or not serves:
        return False
    return version == 4 or is_true(config.get("ipv6.dhcp.stateful"))


def may_contain(config: Json, address: str) -> bool:
    """Returns whether the address is in the network's subnet, or the subnet is unknown."""
    wanted = ipaddress.ip_address(address)
    own = _interface(config.get(f"ipv{wanted.version}.address"))
    return own is None or wanted in own.network


def dhcp_ranges(config: Json) -> tuple[str, ...]:
    """Returns the configured ranges (`10.1.0.2-10.1.0.254`), else the whole subnet as LXD uses it by default."""
    found: list[str] = []
    for version in (4, 6):
        own = _interface(config.get(f"ipv{version}.address"))
        if own is not None and serves_static_leases(config, version):
            value = str(config.get(f"ipv{version}.dhcp.ranges") or "")
            found += [text for part in value.split(",") if (text := part.replace(" ", ""))] or _default_range(own)
    return tuple(found)


def _default_range(own: Interface) -> list[str]:
    net = own.network
    first, last = 2, net.num_addresses - (2 if net.version == 4 else 1)  # IPv4's last address is the broadcast address
    return [f"{net[first]}-{net[last]}"] if first <= last else []


def vlan_of_config(config: Json) -> tuple[int | None, str | None]:
    """Returns VLAN id and parent of a network that uses an interface; (None, None) for others (`ovn`)."""
    parent = str(config.get("parent") or "") or None
    vid = _vid(config.get("vlan"))
    return (vid or 0, parent) if parent else (None, None)


def vlan_of(name: str, state: Json) -> tuple[int | None, str | None]:
    """Returns VLAN id and parent of a VLAN interface, from its state or else from its name."""
    value = state.get("vlan")
    if isinstance(value, Mapping) and (vid := _vid(value.get("vid"))) is not None and value.get("lower_device"):
        return vid, str(value["lower_device"])
    found = _VLAN_NAME.fullmatch(name)
    vid = _vid(found["vid"]) if found else None
    return (vid, found["parent"]) if found and vid is not None else (None, None)


def mac_address(state: Json) -> str | None:
    value = state.get("hwaddr")
    return value.lower() if isinstance(value, str) and value else None


def names_in(state: Json, part: str, key: str) -> frozenset[str]:
    """Returns the member interfaces of a bond or bridge."""
    value = state.get(part)
    names = value.get(key) if isinstance(value, Mapping) else None
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def _vid(value: Any) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    found = int(text) if text.isascii() and text.isdecimal() else None
    return found if found is not None and found <= MAX_VID else None


def _interface(text: Any) -> Interface | None:
    """Returns None if `text` is no address, such as `auto` on a network that LXD is still creating."""
    try:
        found = ipaddress.ip_interface(text) if isinstance(text, str) and "/" in text else None
    except ValueError:
        return None
    return found
