"""Cards of a guest to be made: the devices that LXD is asked for, and how each gets its address. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import DriverFailed, NotFound, Unsupported
from common.values import NicKind, NicSpec
from rackd.drivers.lxd import network_details as details

Json = Mapping[str, Any]

_NICTYPES = {NicKind.BRIDGE: "bridged", NicKind.MACVLAN: "macvlan", NicKind.SRIOV: "sriov"}


def device_of(nic: NicSpec, networks: Mapping[str, Json], *, boots: bool) -> dict[str, str]:
    """`networks` are those that LXD lists, by name. Unsupported for a kind of card that LXD has not.

    LXD makes all macvlan cards in mode `bridge`. A card on a VLAN is put on that interface and needs no tag of its
    own: only what a virtual function sends is tagged by the card.
    """
    device = {"type": "nic", "name": nic.name, "hwaddr": nic.mac_address}
    if nic.kind is NicKind.NETWORK:
        device["network"] = nic.source
    elif nic.kind in _NICTYPES:
        device |= {"nictype": _NICTYPES[nic.kind], "parent": nic.source}
    else:
        raise Unsupported(f"LXD has no cards of kind '{nic.kind}'.")
    if nic.kind is NicKind.SRIOV and nic.vid:
        device["vlan"] = str(nic.vid)
    if is_leased(nic, networks) and nic.address is not None:
        device[f"ipv{_version(nic.address.address)}.address"] = nic.address.address
    if boots:
        device["boot.priority"] = "1"  # before the root disk's 0
    return device


def is_leased(nic: NicSpec, networks: Mapping[str, Json]) -> bool:
    """Whether LXD's own DHCP server hands the card the address that it is to have."""
    network = networks.get(nic.source, {})
    if nic.kind is not NicKind.NETWORK or nic.address is None or not nic.configured:
        return False
    version = _version(nic.address.address)
    # A network of type `ovn` takes an address of IPv6 only together with one of IPv4.
    serves = network.get("type") == "bridge" or (network.get("type") == "ovn" and version == 4)
    config = network.get("config") or {}
    return serves and details.leases(config, version) and details.holds(config, nic.address.address)


def check_there(nics: Iterable[NicSpec], networks: Mapping[str, Json], address: str) -> None:
    """Raises NotFound, naming the network and what there is, for a card on something that LXD does not list.

    A project with networks of its own lists only those: there LXD itself has to refuse.
    """
    shows_interfaces = any(not told.get("managed") for told in networks.values())
    for nic in nics:
        managed = nic.kind is NicKind.NETWORK
        if nic.kind is NicKind.USER or not (managed or shows_interfaces):
            continue
        known = sorted(name for name, told in networks.items() if bool(told.get("managed")) or not managed)
        if nic.source not in known:
            raise NotFound(
                f"LXD at {address} has no {'network' if managed else 'interface'} '{nic.source}' for the card "
                f"{nic.name}; it has {', '.join(known) or 'none'}.",
                network=nic.source,
            )


def check_startable(nics: Iterable[NicSpec], networks: Mapping[str, Json], address: str) -> None:
    """Raises DriverFailed for several cards on one bridge of LXD's own with DNS: LXD makes such a VM, and never starts
    it, since its name would be there twice."""
    taken: dict[str, str] = {}
    for nic in nics:
        network = networks.get(nic.source, {})
        named = network.get("managed") and network.get("type") == "bridge"
        if not named or (network.get("config") or {}).get("dns.mode") == "none":
            continue
        if nic.source in taken:
            raise DriverFailed(
                f"LXD at {address} starts no VM with two cards ({taken[nic.source]} and {nic.name}) on its network "
                f"'{nic.source}', whose DNS knows each VM by one name. Put one of them on another network, or set "
                f"dns.mode=none there.",
                network=nic.source,
            )
        taken[nic.source] = nic.name


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version
