"""Builds the NIC devices of an instance and checks that their networks exist."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import DriverFailed, NotFound, Unsupported, WrongState
from common.guests.guest_spec import NicSpec
from common.values import NicKind
from rackd.drivers.lxd.inventory import network_details as details
from rackd.drivers.lxd.inventory.boot_order import NIC_PRIORITY, PRIORITY

Json = Mapping[str, Any]

LEASE_KEYS = ("ipv4.address", "ipv6.address")
_NICTYPES = {NicKind.BRIDGE: "bridged", NicKind.MACVLAN: "macvlan", NicKind.SRIOV: "sriov"}


def device_of(nic: NicSpec, networks: Mapping[str, Json], *, boots: bool) -> dict[str, str]:
    """`networks` has the listed networks by name. Raises Unsupported for a kind of NIC that LXD lacks.

    LXD creates all macvlan NICs in mode `bridge`. A NIC on a VLAN interface needs no tag; only virtual functions are
    tagged here.
    """
    device = {"type": "nic", "name": nic.name, "hwaddr": nic.mac_address}
    if nic.kind is NicKind.NETWORK:
        device["network"] = nic.source
    elif nic.kind in _NICTYPES:
        device |= {"nictype": _NICTYPES[nic.kind], "parent": nic.source}
    else:
        raise Unsupported(f"Instances have no NICs of kind '{nic.kind}'.")
    if nic.kind is NicKind.SRIOV and nic.vid:
        device["vlan"] = str(nic.vid)
    device |= lease_of(nic, networks)
    if boots:
        device[PRIORITY] = str(NIC_PRIORITY)
    return device


def lease_of(nic: NicSpec, networks: Mapping[str, Json]) -> dict[str, str]:
    """The keys of the device that make LXD's DHCP server assign the NIC its static address; none if it does not."""
    if nic.address is None or not is_leased(nic, networks):
        return {}
    return {f"ipv{_version(nic.address.address)}.address": nic.address.address}


def with_leases(devices: Mapping[str, Json], leases: Mapping[str, Json]) -> dict[str, Json]:
    """Replaces the static leases of NIC devices; `leases` has the keys of each by its MAC address (lower case).

    A NIC is found by its MAC address: its name in the guest can change.
    """
    found: dict[str, Json] = {}
    for name, device in devices.items():
        lease = leases.get(str(device.get("hwaddr") or "").lower()) if device.get("type") == "nic" else None
        kept = device if lease is None else {key: text for key, text in device.items() if key not in LEASE_KEYS}
        found[name] = {**kept, **(lease or {})}
    return found


def check_leases_free(nics: Iterable[NicSpec], leases: Iterable[Json]) -> None:
    """Raises WrongState if an instance has the static lease of another one's NIC in `leases`, those of its network."""
    static = {str(one.get("address")): one for one in leases if one.get("type") == "static"}
    for nic in nics:
        taken = None if nic.address is None else static.get(nic.address.address)
        if taken is not None and str(taken.get("hwaddr") or "").lower() != nic.mac_address.lower():
            raise WrongState(
                f"Cannot reserve {taken['address']} for {nic.mac_address}: the network {nic.source} reserves it for "
                f"{taken.get('hostname') or taken.get('hwaddr')}. Choose another address, or remove it from that "
                "instance."
            )


def is_leased(nic: NicSpec, networks: Mapping[str, Json]) -> bool:
    """Returns whether LXD's DHCP server assigns the NIC its static address."""
    network = networks.get(nic.source, {})
    if nic.kind is not NicKind.NETWORK or nic.address is None or not nic.configured:
        return False
    version = _version(nic.address.address)
    # A network of type `ovn` accepts an IPv6 address only with an IPv4 address.
    serves = network.get("type") == "bridge" or (network.get("type") == "ovn" and version == 4)
    config = network.get("config") or {}
    return serves and details.serves_static_leases(config, version) and details.may_contain(config, nic.address.address)


def check_sources_exist(nics: Iterable[NicSpec], networks: Mapping[str, Json], place: str) -> None:
    """Raises NotFound for a NIC on a network or interface that the server does not list.

    A project with its own networks lists only those; then LXD itself rejects other interfaces.
    """
    shows_interfaces = any(not listed.get("managed") for listed in networks.values())
    for nic in nics:
        managed = nic.kind is NicKind.NETWORK
        if nic.kind is NicKind.USER or not (managed or shows_interfaces):
            continue
        known = sorted(name for name, listed in networks.items() if bool(listed.get("managed")) or not managed)
        if nic.source not in known:
            raise NotFound(
                f"{place} has no {'network' if managed else 'interface'} '{nic.source}' for the NIC "
                f"{nic.name}; it has {', '.join(known) or 'none'}.",
                network=nic.source,
            )


def check_startable(nics: Iterable[NicSpec], networks: Mapping[str, Json], place: str) -> None:
    """Raises DriverFailed for two NICs on one managed bridge with DNS.

    LXD creates such a VM but cannot start it, because its name would be in the DNS twice.
    """
    taken: dict[str, str] = {}
    for nic in nics:
        if _has_one_name(networks.get(nic.source, {})):
            if nic.source in taken:
                raise DriverFailed(_unstartable(taken[nic.source], nic, place), network=nic.source)
            taken[nic.source] = nic.name


def check_addable(
    nic: NicSpec, devices: Mapping[str, Mapping[str, str]], networks: Mapping[str, Json], name: str, place: str
) -> None:
    """Raises WrongState if an instance with these devices, named `name`, could not start with the NIC too."""
    nics = {key: device for key, device in devices.items() if device.get("type") == "nic"}
    if nic.name in devices or nic.name in {device.get("name", key) for key, device in nics.items()}:
        raise WrongState(
            f"The guest {name} already has a device {nic.name}, which would be that of the NIC {nic.mac_address}.",
            name=name,
        )
    check_startable_beside(nic, nics, networks, place)


def check_startable_beside(
    nic: NicSpec, devices: Mapping[str, Mapping[str, str]], networks: Mapping[str, Json], place: str
) -> None:
    """Raises WrongState if an instance with these devices could not start with the NIC too."""
    for key, device in devices.items():
        if device.get("type") != "nic":
            continue
        source = device.get("network") or device.get("parent")
        if source == nic.source and _has_one_name(networks.get(nic.source, {})):
            raise WrongState(_unstartable(key, nic, place), network=nic.source)


_OF_THE_NETWORK = {"network", "nictype", "parent", "vlan", "hwaddr", *LEASE_KEYS}


def replaced_device(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Returns the device with another network and MAC address; its name in the guest and its other keys stay."""
    kept = {key: text for key, text in before.items() if key not in _OF_THE_NETWORK}
    return {**{key: text for key, text in after.items() if key in _OF_THE_NETWORK}, **kept}


def connection_of(device: Mapping[str, str]) -> Mapping[str, str]:
    """Returns all that LXD changes only with the device itself."""
    return {key: text for key, text in device.items() if key not in LEASE_KEYS}


def device_with(instance: Json, mac_address: str) -> str | None:
    """Returns the name of the NIC device with this MAC address, also one that LXD has chosen; None without it."""
    wanted, config = mac_address.lower(), instance.get("config") or {}
    for name, device in (instance.get("expanded_devices") or {}).items():
        if device.get("type") != "nic":
            continue
        found = str(device.get("hwaddr") or config.get(f"volatile.{name}.hwaddr") or "")
        if found and found.lower() == wanted:
            return str(name)
    return None


def _has_one_name(network: Json) -> bool:
    """Returns whether the DNS of a network has one entry for the name of an instance."""
    named = network.get("managed") and network.get("type") == "bridge"
    return bool(named) and (network.get("config") or {}).get("dns.mode") != "none"


def _unstartable(first: str, second: NicSpec, place: str) -> str:
    return (
        f"{place} cannot start a VM with two NICs ({first} and {second.name}) on its network "
        f"'{second.source}', whose DNS allows one per VM. Put one on another network, or set dns.mode=none on that "
        "network."
    )


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version
