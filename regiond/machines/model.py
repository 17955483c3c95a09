"""Machines as people see them, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import field, frozen

from regiond.groups.model import ResourcePool, Zone
from regiond.machines.life import MachineState
from regiond.networks.model import Address, Subnet, Vlan
from regiond.operations.model import Operation


@frozen(kw_only=True)
class DiskView:
    id: int
    index: int
    volume: str
    storage_pool_name: str
    storage_pool_key: str
    size_bytes: int
    serial: str
    tags: tuple[str, ...]


@frozen(kw_only=True)
class NicView:
    """`label` is the constraint's own; `mode` is `dhcp`, `static` or `unconfigured`. `vlan` and `subnet` are None where
    nothing is known of what it is on; `ip_address` is one that it was given."""

    id: int
    index: int
    name: str
    mac_address: str
    kind: str
    source: str
    label: str = ""
    mode: str = "dhcp"
    vid: int | None = None
    vlan: Vlan | None = None
    subnet: Subnet | None = None
    ip_address: Address | None = None


@frozen(kw_only=True)
class MachineView:
    id: int
    uuid: UUID
    system_id: str
    hostname: str
    state: MachineState
    power_state: str
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    pool: ResourcePool
    zone: Zone
    owner: str | None
    description: str
    host_id: int | None
    host_name: str | None
    host_system_id: str | None
    driver: str | None
    guest_id: int | None
    disks: tuple[DiskView, ...] = ()
    nics: tuple[NicView, ...] = ()
    created_at: datetime
    adopted: bool = False  # its guest was there before us
    agent_name: str = ""  # of the program that allocated it
    owner_data: Mapping[str, str] = field(factory=dict)
    composed_by_allocate: bool = False  # destroyed when it is released
    error_description: str = ""  # why it was marked broken


@frozen(kw_only=True)
class ComposeRequest:
    """What a person asks for. `zone` and `pool` are an id or a name, as text; sizes as their names say.

    `storage` and `interfaces` are the constraint texts of the API. `host_id` None lets placement choose. With
    `pinned_cores`, or with `pin_cores` (so many of one NUMA node), `cores` has no effect.
    """

    host_id: int | None = None
    cores: int = 1
    memory_mib: int = 2048
    architecture: str | None = None
    storage: str = ""
    interfaces: str = ""
    hostname: str | None = None
    zone: str | None = None
    pool: str | None = None
    pinned_cores: tuple[int, ...] = ()
    pin_cores: int | None = None
    huge_pages_backed: bool = False
    huge_page_size_mib: int | None = None
    one_numa_node: bool = False
    power_on: bool = False


@frozen(kw_only=True)
class AskedHosts:
    """Which hosts a machine may go to, as people say it: ids or names, as text. Empty means any.

    Several values of one field are alternatives, but a host has all of `tags`, and nothing of what a `not_` field says.
    `types` are drivers in the API's words. `cpu_speed_mhz` is what its CPUs have at least, where that is known.
    """

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    not_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_in_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_in_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()
    cpu_speed_mhz: int | None = None


ANYWHERE = AskedHosts()


@frozen(kw_only=True)
class Intent:
    """A compose as it is kept with its operation, which may go on to another host than the first.

    `agent_name`: allocated to who asks when it is made, in the name of that agent; None: nobody's. The machine is in
    the zone that the request says, or in that of its host.
    """

    request: ComposeRequest
    hosts: AskedHosts = ANYWHERE
    agent_name: str | None = None
    in_zone_of_host: bool = False
    comment: str = ""


@frozen(kw_only=True)
class AllocateRequest:
    """Which machine a person or program wants, there or to be composed; names of things as people say them.

    Several values of one field are alternatives, but the machine has all of `tags`, a card in each of `subnets` and
    `fabrics`, and nothing of what a `not_` field says. `storage` and `interfaces` are the constraint texts; with
    `system_id` or `name` nothing is composed.
    """

    system_id: str | None = None
    name: str | None = None
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()
    cores: int | None = None  # at least
    memory_mib: int | None = None  # at least
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_in_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_in_pools: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    not_pods: tuple[str, ...] = ()
    pod_types: tuple[str, ...] = ()
    not_pod_types: tuple[str, ...] = ()
    storage: str = ""
    interfaces: str = ""
    subnets: tuple[str, ...] = ()
    not_subnets: tuple[str, ...] = ()
    fabrics: tuple[str, ...] = ()
    not_fabrics: tuple[str, ...] = ()
    agent_name: str = ""
    comment: str = ""


@frozen(kw_only=True)
class MachineFilter:
    """All given must hold; several values of one field are alternatives, but for tags.

    With `limit`, the first so many by host name, or the next ones `after` a host name.
    """

    system_ids: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    mac_addresses: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # `pod`: host names
    agent_names: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()  # names of users
    states: tuple[MachineState, ...] = ()
    tags: tuple[str, ...] = ()  # all of them
    after: str | None = None
    limit: int | None = None


@frozen(kw_only=True)
class MachineChange:
    """What is given is changed; None leaves it as it is. `zone` is a name, `pool` an id or a name."""

    hostname: str | None = None
    zone: str | None = None
    pool: str | None = None
    description: str | None = None


@frozen(kw_only=True)
class AdoptRequest:
    """Which guests of a host: by name, by the id of the virtual machine, or by the hypervisor's own id; or all that are
    foreign. `hostname` is for a single one; otherwise machines are named after their guests."""

    guests: tuple[str, ...] = ()
    everything: bool = False
    hostname: str | None = None


@frozen(kw_only=True)
class Adopted:
    """What becomes of one guest. Without an operation it is a machine already, or `refused` says why it cannot be."""

    guest_name: str
    system_id: str | None = None
    hostname: str | None = None
    operation: Operation | None = None
    refused: str | None = None


@frozen(kw_only=True)
class ForgottenMachine:
    """What is kept of it. `pool`, `zone` and `owner` are names, None when they are gone."""

    uuid: UUID
    system_id: str
    hostname: str
    adopted: bool
    host_name: str
    driver: str
    address: str
    project: str
    pool: str | None
    zone: str | None
    owner: str | None
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    disks: tuple[dict[str, Any], ...]
    nics: tuple[dict[str, Any], ...]
    forgotten_at: datetime
