"""Decides which of a composed guest's NICs cloud-init configures, and which the hypervisor's DHCP server."""

from __future__ import annotations

from collections.abc import Container, Iterable

from common.guests.cloud_init_network import EthernetConfig, ip_version, render
from common.guests.guest_spec import NicSpec


def network_config(nics: Iterable[NicSpec], *, leased: Container[str] = ()) -> str | None:
    """Returns the text of `network-config`, or None if the guest needs none because it uses DHCP by default.

    NICs in `leased` receive their static address from the hypervisor's DHCP server. Omits NICs that must not be
    configured.
    """
    nics = tuple(nics)
    if not any(_needs_config(nic, leased) for nic in nics):
        return None
    return render(_ethernet(nic, leased) for nic in nics if nic.configured)


def _needs_config(nic: NicSpec, leased: Container[str]) -> bool:
    return not nic.configured or (nic.address is not None and nic.name not in leased)


def _ethernet(nic: NicSpec, leased: Container[str]) -> EthernetConfig:
    if nic.address is None:
        return EthernetConfig(name=nic.name, mac_address=nic.mac_address, dhcp=(4,))
    if nic.name in leased:
        return EthernetConfig(name=nic.name, mac_address=nic.mac_address, dhcp=(ip_version(nic.address.address),))
    return EthernetConfig(name=nic.name, mac_address=nic.mac_address, addresses=(nic.address,))
