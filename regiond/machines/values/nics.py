"""Requests for and plans of changes of the NICs of machines."""

from __future__ import annotations

from attrs import frozen


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
