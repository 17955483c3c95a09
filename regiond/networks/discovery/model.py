"""The known interfaces and subnets of a host, and the changes that a discovery run makes."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from regiond.networks.discovery.interface_facts import InterfaceKey, InterfaceRecord
from regiond.networks.discovery.l2_segments import VlanKey
from regiond.networks.model import Address, Network


@frozen(kw_only=True)
class KnownInterface:
    interface: InterfaceRecord
    vlan: VlanKey | None = None
    vlan_set_by_user: bool = False
    missing: bool = False


@frozen(kw_only=True)
class KnownSubnet:
    vlan: VlanKey
    gateway: Address | None = None
    gateway_set_by_user: bool = False  # also to none


@frozen(kw_only=True)
class KnownNetworks:
    """The host's interfaces, and the subnets among those that the run found on it."""

    interfaces: Mapping[InterfaceKey, KnownInterface] = field(factory=dict)
    subnets: Mapping[Network, KnownSubnet] = field(factory=dict)


@frozen(kw_only=True)
class NewSubnet:
    cidr: Network
    vlan: VlanKey


@frozen(kw_only=True)
class NetworkChanges:
    """The changes that a discovery run has to write.

    `changed_kinds` has old and new keys of interfaces. `range_subnets` are the subnets whose discovered IP ranges may
    have changed.
    """

    changed_kinds: tuple[tuple[InterfaceKey, InterfaceKey], ...] = ()
    subnets: tuple[NewSubnet, ...] = ()
    interfaces: tuple[tuple[InterfaceRecord, VlanKey | None], ...] = ()
    missing: tuple[InterfaceKey, ...] = ()
    gateways: tuple[tuple[Network, Address], ...] = ()
    range_subnets: tuple[Network, ...] = ()

    @property
    def none(self) -> bool:
        return self == NetworkChanges()
