"""NICs of machines: as they are, and requests for and plans of their changes."""

from __future__ import annotations

from enum import StrEnum

from attrs import Factory, frozen

from regiond.networks.model import Address, SeenAddress, Subnet, Vlan


@frozen(kw_only=True)
class NicView:
    """A NIC. `label` is from the interface constraint; `mode` is `dhcp`, `static`, `auto` or `unconfigured`.

    `vlan` and `subnet` are None if unknown. `ip_address` is an address that Innkeeper assigned; `seen` are the
    addresses that the guest has while it runs. `gateway_versions` are the IP versions (4, 6) whose default route goes
    through the NIC. `link_id` is the id of its link; each seen address has a link id of its own.
    """

    id: int
    link_id: int = Factory(lambda self: self.id, takes_self=True)
    index: int
    name: str
    mac_address: str
    kind: str
    source: str
    label: str = ""
    interface_id: int | None = None  # of the host, to which it is attached; None: unknown, or none
    mode: str = "dhcp"
    vid: int | None = None
    vlan: Vlan | None = None
    subnet: Subnet | None = None
    ip_address: Address | None = None
    seen: tuple[SeenAddress, ...] = ()
    tags: tuple[str, ...] = ()
    gateway_versions: tuple[int, ...] = ()

    @property
    def gateway(self) -> Address | None:
        """The gateway of the assigned address."""
        return None if self.ip_address is None or self.subnet is None else self.subnet.gateway_ip

    @property
    def unassigned(self) -> tuple[SeenAddress, ...]:
        """The addresses that the guest has, without the one that Innkeeper assigned."""
        return tuple(one for one in self.seen if one.address != self.ip_address)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The assigned address, then the others."""
        assigned = () if self.ip_address is None else (self.ip_address,)
        return (*assigned, *(one.address for one in self.unassigned))


class LinkMode(StrEnum):
    """The way in which a NIC gets its address, in MAAS's words."""

    AUTO = "AUTO"  # an address that Innkeeper chooses
    STATIC = "STATIC"  # an address that the user chooses, or Innkeeper if the user gives none
    DHCP = "DHCP"
    LINK_UP = "LINK_UP"  # no address


@frozen(kw_only=True)
class LinkRequest:
    """A link of a NIC. `subnet` is an id, a CIDR or a name; empty texts: not given. `force` replaces another link."""

    mode: LinkMode
    subnet: str = ""
    ip_address: str = ""
    default_gateway: bool = False
    force: bool = False


@frozen(kw_only=True)
class NicToAdd:
    """A new NIC of a machine. `constraint` is one interface constraint of compose, such as `eth1:space=dmz`.

    Without one, the NIC is attached to the VLAN `vlan_id` (row id), or as the default NIC of a machine is. An empty
    `name` is the first free one of eth0, eth1 …; without `mac_address`, one is chosen.
    """

    constraint: str = ""
    name: str = ""
    vlan_id: int | None = None
    mac_address: str = ""
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class NicToChange:
    """A NIC (row id) of a machine that gets another network, another MAC address, or both.

    `constraint` is one interface constraint of compose, whose label is not used. Without it and `vlan_id` (row id),
    network and addresses stay. Without `mac_address`, that stays.
    """

    nic_id: int
    constraint: str = ""
    vlan_id: int | None = None
    mac_address: str = ""


@frozen(kw_only=True)
class NicToRemove:
    """A NIC (row id) that a machine loses."""

    nic_id: int


@frozen(kw_only=True)
class NamedNic:
    """The NIC of each of many machines that has this name, and one change of it: the network that an interface
    constraint names, or, without one, its removal.
    """

    name: str
    constraint: str | None = None

    def change_of(self, nic_id: int) -> NicToChange | NicToRemove:
        """Returns the change of the NIC (row id) of one machine."""
        if self.constraint is None:
            return NicToRemove(nic_id=nic_id)
        return NicToChange(nic_id=nic_id, constraint=self.constraint)


NicChange = NicToAdd | NicToChange | NicToRemove


@frozen(kw_only=True)
class NicPlan:
    """The plan of a change of a NIC. `name` is the hostname; `effects` are sentences for people.

    `function_port` is the port of its host of which a new NIC claims a virtual function; None: of none.
    """

    name: str
    effects: tuple[str, ...]
    function_port: str | None = None
