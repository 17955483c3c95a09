"""Devices for other rooms: containers on machines, with NICs and addresses of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import Factory, field, frozen

from regiond.groups.model import ResourcePool, Zone
from regiond.networks.model import Address, Subnet, Vlan
from regiond.requests.caller import Caller

MAX_DEVICES = 64  # of one machine
MAX_OWN_DEVICES = 64  # of one account, on no machine: they can have addresses in every subnet
MAX_OWN_DEVICES_OF_ADMIN = 1000
MAX_DEVICE_NICS = 8  # of one device; each has one link, so the devices of a machine have at most 512 addresses


@frozen(kw_only=True)
class DeviceNicView:
    """A NIC of a device. `mode` and `link_id` are as in `NicView`; `mtu` is in bytes, None for the VLAN's."""

    id: int
    link_id: int = Factory(lambda self: self.id, takes_self=True)
    name: str
    mac_address: str
    mode: str = "unconfigured"
    mtu: int | None = None
    tags: tuple[str, ...] = ()
    vlan: Vlan | None = None
    subnet: Subnet | None = None
    ip_address: Address | None = None


@frozen(kw_only=True)
class DeviceView:
    """A device. `parent` is the system id of its machine (row id `parent_id`), whose zone, pool and owner it has.

    Without a parent, its owner is the account that registered it, and it is in no resource pool.
    """

    id: int
    system_id: str
    hostname: str
    description: str
    parent: str | None
    parent_id: int | None
    owner: str | None
    zone: Zone
    pool: ResourcePool | None
    created_at: datetime
    owner_data: Mapping[str, str] = field(factory=dict)
    nics: tuple[DeviceNicView, ...] = ()

    def belongs_to(self, caller: Caller) -> bool:
        return self.owner == caller.username


@frozen(kw_only=True)
class DeviceFilter:
    """A device must match all given fields; the values of one field are alternatives.

    `parents` are system ids of machines; `zones`, `pools` and `owners` are names, of the machine for a device on one.
    """

    system_ids: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    mac_addresses: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


@frozen(kw_only=True)
class NewDevice:
    """A device to register. `parent` is the system id of its machine; None: it is on none, and in `zone`.

    `zone` is an id or a name; empty: the default zone. Without a hostname, the region chooses one. Each MAC address
    becomes a NIC.
    """

    parent: str | None
    mac_addresses: tuple[str, ...]
    zone: str = ""
    hostname: str = ""
    description: str = ""


@frozen(kw_only=True)
class DeviceNicChange:
    """A change of a NIC. None: unchanged, or for a new NIC the default. `vlan` is an id; empty: no VLAN."""

    name: str | None = None
    mac_address: str | None = None
    vlan: str | None = None
    mtu: int | None = None
    tags: tuple[str, ...] | None = None
