"""Hosts and guests as the API shows them, and the changes a user may request; NUMA nodes and removals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import asdict, field, frozen

from common.errors import InvalidRequest
from common.hardware import Gpu, NetworkDevice
from common.hosts.capacity import NOTHING, Capacity, ResourceCapacity
from common.hosts.discovery import Problem
from common.hosts.host_settings import SETTINGS, HostSettings
from common.placement_groups import PlacementGroup
from common.values import POOL_AVAILABLE, DriverType, HostNetwork, NumaNode, Profile
from regiond.credentials.model import KeyPair, SshKeyPair
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.error_details import ErrorDetails
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.maintenance.model import Maintenance
from regiond.requests.audience import others_read, others_read_that_there_is_one
from regiond.requests.validation_messages import outside

MASK = "********"  # replaces a secret in responses; in a request it changes nothing
CAPABILITIES = ("composable", "dynamic_local_storage", "over_commit", "storage_pools")
MACVLAN_MODES = ("bridge", "passthru", "private", "vepa")
CONSOLE_TAG = "pod-console-logging"  # MAAS gives every host this tag
MACHINE_MISSING = "machine_missing"  # the event of a machine whose guest its host does not have
MACHINE_MISSING_TEXT = "its guest is missing on {host}"
POWER_CHANGED = "machine_power_changed"  # the event of a power change that no operation made
POWER_CHANGED_TEXT = "its power state changed from {before} to {after} on {host}"


class HostState(StrEnum):
    PENDING = "pending"  # never discovered; the capacity is unknown
    READY = "ready"
    UNREACHABLE = "unreachable"
    REMOVING = "removing"


@frozen(kw_only=True)
class Amounts:
    """Amounts of compute and storage. Where they are unknown, None replaces the whole value."""

    cores: int = 0
    memory_mib: int = 0
    storage_bytes: int = 0

    def __sub__(self, used: Amounts) -> Amounts:
        """Returns the free capacity without ratios, as MAAS reports it; negative if the host is overcommitted."""
        return Amounts(
            cores=self.cores - used.cores,
            memory_mib=self.memory_mib - used.memory_mib,
            storage_bytes=self.storage_bytes - used.storage_bytes,
        )


@frozen(kw_only=True)
class StoragePoolView:
    """A storage pool. `used_bytes` counts guests of the host's project, `claimed_bytes` all guests of the server.

    `shares_with` has the names of the pools that are on the same storage, and `used_beside_bytes` is what guests of the
    host's project use in those.
    """

    id: int
    pool_key: str
    name: str
    type: str
    path: str = field(metadata=others_read(""))
    total_bytes: int
    used_bytes: int
    claimed_bytes: int
    used_elsewhere_bytes: int
    is_default: bool
    missing_since: datetime | None = None
    status: str = POOL_AVAILABLE
    capacity: ResourceCapacity = NOTHING
    storage_id: str = ""
    shares_with: tuple[str, ...] = ()
    used_beside_bytes: int = 0

    @property
    def is_available(self) -> bool:
        return self.status == POOL_AVAILABLE

    @property
    def available_bytes(self) -> int:
        """MAAS's number: of the total, what guests of the host's project do not use; 0 while it is not available."""
        return self.total_bytes - self.used_bytes - self.used_beside_bytes if self.is_available else 0

    def share_bytes(self, used_bytes: int) -> int:
        """Returns the bytes that the pool adds to the total of a host or cluster that uses `used_bytes` of it.

        While the pool is not available these are only the used bytes, so that none of its space counts as free.
        """
        return self.total_bytes if self.is_available else used_bytes


def storage_bytes_of(pools: Iterable[StoragePoolView], used: Callable[[StoragePoolView], int]) -> int:
    """Returns what the pools of a server add to the total of a host or cluster (`share_bytes`).

    Pools on the same storage add it once, in the largest size that one of them reports.
    """
    by_storage: dict[str | int, list[StoragePoolView]] = {}
    for pool in pools:
        by_storage.setdefault(pool.storage_id or pool.id, []).append(pool)
    return sum(
        max((pool.total_bytes for pool in sharing if pool.is_available), default=sum(map(used, sharing)))
        for sharing in by_storage.values()
    )


@frozen(kw_only=True)
class ExpiringCertificate:
    """Our client certificate for a host, which the host rejects once it has expired."""

    host_id: int
    host_name: str
    fingerprint: str
    expires_at: datetime


@frozen(kw_only=True)
class HostView(HostSettings):
    """A host. `total` and `capacity` are None before the first successful refresh.

    `used` counts guests of the host's project, `claimed` all guests. `claimed.memory_mib` is general memory, without
    huge pages.
    """

    id: int
    name: str
    driver: DriverType
    address: str = field(metadata=others_read(""))
    project: str
    state: HostState
    zone: Zone
    pool: ResourcePool
    tags: tuple[str, ...]
    system_id: str
    machine_system_id: str | None = None  # of the machine that runs the host, if Innkeeper deployed that machine
    server_id: int | None = None
    cluster_id: int | None = None
    cluster_name: str | None = None
    member: str | None = None  # the name in the cluster
    architecture: str | None = None
    hypervisor_version: str | None = None
    product: str = ""  # LXD or Incus; empty if the driver says it all, or nothing is known yet
    emulated: bool | None = None
    cpu_speed_mhz: int | None = None
    total: Amounts | None = None
    used: Amounts = field(factory=Amounts)
    claimed: Amounts = field(factory=Amounts)
    capacity: Capacity | None = None
    huge_memory_mib: int = 0  # memory in huge pages
    huge_memory_mib_claimed: int = 0
    storage_pools: tuple[StoragePoolView, ...] = ()
    networks: tuple[HostNetwork, ...] = ()
    profiles: tuple[Profile, ...] = ()
    placement_groups: tuple[PlacementGroup, ...] = ()
    network_devices: tuple[NetworkDevice, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    numa_nodes: tuple[NumaNode, ...] = ()
    public_key: str | None = field(default=None, metadata=others_read(None))
    # Of our client certificate (LXD):
    certificate_fingerprint: str | None = field(default=None, metadata=others_read(None))
    certificate_expires_at: datetime | None = field(default=None, metadata=others_read(None))
    # Of the server's certificate, or of its SSH host key, whose end is None. A person may have named the fingerprint.
    pinned_fingerprint: str | None = field(default=None, metadata=others_read(None))
    pinned_expires_at: datetime | None = field(default=None, metadata=others_read(None))
    identity_confirmed: bool = field(default=False, metadata=others_read(instead=False))
    error_code: str | None = None
    error_message: str | None = field(default=None, metadata=others_read_that_there_is_one())
    # None beside an error: stored by a release that had none.
    error_details: ErrorDetails | None = field(default=None, metadata=others_read(None))
    problems: tuple[Problem, ...] = ()
    maintenance: Maintenance | None = None
    refreshed_at: datetime | None = None
    created_at: datetime

    @property
    def all_memory_mib_claimed(self) -> int:
        return self.claimed.memory_mib + self.huge_memory_mib_claimed


@frozen(kw_only=True)
class ComposeTarget:
    """A host that a compose names, with the facts that rule out a request on it. None: not known yet."""

    id: int
    name: str
    pool: ResourcePool
    architecture: str | None
    cores: int | None
    memory_mib: int | None
    cpu_speed_mhz: int | None
    storage_pool_names: tuple[str, ...]


@frozen(kw_only=True)
class GuestFilter:
    """Conditions on guests; None: any. `foreign`: True for guests that are no machine, False for machines."""

    host_id: int | None = None
    foreign: bool | None = None
    name: str | None = None


EVERY_GUEST = GuestFilter()
AS_ABOVE = "default"  # instead of an Autostart: the setting of the host, or for a host that of the installation


@frozen(kw_only=True)
class GuestView:
    """A guest of a host, managed or foreign, which the API calls a virtual machine. `machine_id` is a row id."""

    id: int
    host_id: int
    host_name: str
    name: str
    project: str
    machine_id: int | None
    system_id: str | None  # of the machine, like `hostname`; None: a foreign guest
    hostname: str | None
    power_state: str
    cores: int
    memory_mib: int
    pinned_core_ids: tuple[int, ...]
    huge_pages_backed: bool
    started_at: datetime | None = None  # as the hypervisor reports it; None: it does not, or the guest is off


@frozen(kw_only=True)
class GuestCount:
    """Numbers of machines and foreign guests that the last refresh of a host listed."""

    machines: int = 0
    foreign: int = 0


@frozen(kw_only=True)
class OnMachine:
    """The machine that runs a new host. It has already received the public part of one of the key pairs."""

    machine_id: int
    other_names: tuple[str, ...] = ()  # if the host's name is taken
    key_pair: KeyPair | None = None  # LXD
    ssh_key_pair: SshKeyPair | None = None  # libvirt


@frozen(kw_only=True)
class HostFields:
    """The fields of a request that adds or changes a host. None: the default of a new host, or unchanged.

    `zone` and `pool` are names.
    """

    name: str | None = None
    project: str | None = None
    zone: str | None = None
    pool: str | None = None
    tags: tuple[str, ...] | None = None
    cpu_over_commit_ratio: float | None = None
    memory_over_commit_ratio: float | None = None
    reserved_cores: int | None = None
    reserved_memory_mib: int | None = None
    default_macvlan_mode: str | None = None
    autostart: str | None = None  # a value of Autostart, or `default`
    power_pass: str | None = field(default=None, repr=False)  # LXD: counts as `password` where that is None
    password: str | None = field(default=None, repr=False)  # LXD: a trust token or a trust password
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    fingerprint: str | None = None  # of the server's certificate or SSH host key
    trust_on_first_use: bool | None = None  # send a trust password to a server that nobody has confirmed

    def settings(self) -> dict[str, Any]:
        """Returns the columns of HostSettings that the request sets."""
        sent = asdict(self, recurse=False)
        given = {name: sent[name] for name in SETTINGS if sent.get(name) is not None}
        return {**given, "autostart": None} if self.autostart == AS_ABOVE else given


@frozen(kw_only=True)
class NewHost(HostFields):
    """A host as a user adds it."""

    driver: DriverType
    address: str
    yields_pair: bool = False  # a pair that hosts at the address have is used instead
    on_machine: OnMachine | None = None
    maintenance: str | None = None  # the reason of the maintenance in which it begins; None: it takes machines
    maintenance_holder: str | None = None  # what ends that by itself


@frozen(kw_only=True)
class HostChange(HostFields):
    """The fields of an update."""

    driver: DriverType | None = None
    address: str | None = None
    default_storage_pool: str | None = None  # the pool's key, or its name
    default_network: str | None = None  # empty: placement chooses


@frozen(kw_only=True)
class HostGuest:
    """A guest that a host sees. `id` is the row id of the guest, which the API calls the virtual machine's id."""

    id: int
    record: GuestRecord


def inherited_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Returns the tags that a machine receives from its host when it is composed: all except CONSOLE_TAG."""
    return tuple(tag for tag in tags if tag != CONSOLE_TAG)


def with_console_tag(tags: Iterable[str]) -> tuple[str, ...]:
    """Returns the tags without duplicates, in order, with CONSOLE_TAG at the end."""
    return (*dict.fromkeys(tag for tag in tags if tag != CONSOLE_TAG), CONSOLE_TAG)


def check_change(change: HostChange, host: HostView) -> None:
    """Raises InvalidRequest by field if the change reserves more than the host has, or changes its type or project."""
    if change.driver is not None and change.driver is not host.driver:
        raise InvalidRequest.of({"type": ["The type of a host cannot change. Remove the host and add it again."]})
    if change.project is not None and change.project != host.project:
        message = "The project of a host cannot change. Add another host for that project; both share the server."
        raise InvalidRequest.of({"project": [message]})
    if host.total is None:
        return  # the capacity is not known yet
    reserves = {
        "reserved_cores": (change.reserved_cores, host.total.cores),
        "reserved_memory": (change.reserved_memory_mib, host.total.memory_mib),
    }
    wrong = {
        name: [outside(amount, 0, most)]
        for name, (amount, most) in reserves.items()
        if amount is not None and amount > most
    }
    if wrong:
        raise InvalidRequest.of(wrong)
