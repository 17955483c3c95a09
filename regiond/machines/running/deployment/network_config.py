"""The network configuration of a deployed guest. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.guests.cloud_init_network import EthernetConfig, VlanConfig, render
from common.guests.guest_spec import NicAddress, NicSpec


@frozen(kw_only=True)
class NicNetwork:
    """A NIC with the records of its networks beyond `nic.address`.

    `mtu` is in bytes, None for the guest's default. `vlans` are tagged by the guest: `nic.vid` is not among them.
    `default_routes` has the IP versions whose default route a user assigned to the NIC.
    """

    nic: NicSpec
    more_addresses: tuple[NicAddress, ...] = ()
    mtu: int | None = None
    search_domains: tuple[str, ...] = ()
    vlans: tuple[VlanConfig, ...] = ()
    dhcp_by_mac: bool = False  # a DHCP server knows the NIC by its MAC address, not by the guest's machine id
    default_routes: tuple[int, ...] = ()


def network_config(nics: Iterable[NicNetwork]) -> str:
    """Returns the text of `network-config`: NICs by MAC address, named as the API names them.

    A NIC without a static address uses DHCP (IPv4; IPv6 by router advertisements). Omits NICs that must not be
    configured.
    """
    return render(_ethernet(network) for network in nics if network.nic.configured)


def _ethernet(network: NicNetwork) -> EthernetConfig:
    nic = network.nic
    addresses = (*(() if nic.address is None else (nic.address,)), *network.more_addresses)
    return EthernetConfig(
        name=nic.name,
        mac_address=nic.mac_address,
        renamed=True,  # cloud-init 22.4 waits only for NICs with `set-name`; VLANs name their NIC
        addresses=addresses,
        dhcp=() if addresses else (4,),
        dhcp_by_mac=network.dhcp_by_mac,
        mtu=network.mtu,
        search_domains=network.search_domains,
        vlans=network.vlans,
        default_routes=network.default_routes,
    )
