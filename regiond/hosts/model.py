"""Hosts as people see them, and what people may say of them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from common.discovery import Problem
from common.errors import InvalidRequest
from common.hardware import Gpu, NetworkCard
from common.values import DriverType, HostNetwork, NumaNode, Profile
from regiond.field_words import at_most
from regiond.groups.model import ResourcePool, Zone

MASK = "********"  # stands for a secret that is not shown; sent back, it changes nothing
CAPABILITIES = ("composable", "dynamic_local_storage", "over_commit", "storage_pools")
MACVLAN_MODES = ("bridge", "passthru", "private", "vepa")


class HostState(StrEnum):
    PENDING = "pending"  # never discovered: its capacity is unknown
    READY = "ready"
    UNREACHABLE = "unreachable"
    REMOVING = "removing"


@frozen(kw_only=True)
class Amounts:
    """Compute and storage. Zero is an amount; unknown is `None` in place of the whole value."""

    cores: int = 0
    memory_mib: int = 0
    storage_bytes: int = 0


@frozen(kw_only=True)
class StoragePoolView:
    """`used_bytes`: disks of the guests of the host's project. `claimed_bytes`: of all guests of the server."""

    id: int
    pool_key: str
    name: str
    type: str
    path: str
    total_bytes: int
    used_bytes: int
    claimed_bytes: int
    used_elsewhere_bytes: int
    is_default: bool
    missing_since: datetime | None = None

    @property
    def room_bytes(self) -> int:
        return max(0, self.total_bytes - self.used_elsewhere_bytes - self.claimed_bytes)


@frozen(kw_only=True)
class HostView:
    """`total` is None until the first good discovery; `used` counts guests of the host's project, `claimed` all.

    `claimed` memory is general memory; what is claimed of huge pages is apart.
    """

    id: int
    name: str
    driver: DriverType
    address: str
    project: str
    state: HostState
    zone: Zone
    pool: ResourcePool
    tags: tuple[str, ...]
    cpu_over_commit_ratio: float
    memory_over_commit_ratio: float
    default_macvlan_mode: str | None
    system_id: str
    server_id: int | None = None
    cluster_id: int | None = None
    member: str | None = None  # its name in the cluster
    architecture: str | None = None
    hypervisor_version: str | None = None
    emulated: bool | None = None
    cpu_speed_mhz: int | None = None
    total: Amounts | None = None
    used: Amounts = field(factory=Amounts)
    claimed: Amounts = field(factory=Amounts)
    reserved_cores: int = 0  # kept for the host itself
    reserved_memory_mib: int = 0
    huge_memory_mib: int = 0  # the part of its memory that is in huge pages
    huge_memory_mib_claimed: int = 0
    storage_pools: tuple[StoragePoolView, ...] = ()
    networks: tuple[HostNetwork, ...] = ()
    profiles: tuple[Profile, ...] = ()
    network_cards: tuple[NetworkCard, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    numa_nodes: tuple[NumaNode, ...] = ()
    public_key: str | None = None
    certificate_fingerprint: str | None = None  # of our own certificate, on LXD
    certificate_expires_at: datetime | None = None
    pinned_fingerprint: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    problems: tuple[Problem, ...] = ()
    refreshed_at: datetime | None = None
    created_at: datetime

    @property
    def all_memory_mib_claimed(self) -> int:
        return self.claimed.memory_mib + self.huge_memory_mib_claimed


@frozen(kw_only=True)
class HostStanding:
    """As much of a host as tells whether and how to try and watch it: of a thousand hosts that is a short look."""

    id: int
    state: HostState
    address: str
    pinned_fingerprint: str | None = None
    certificate_fingerprint: str | None = None


@frozen(kw_only=True)
class GuestView:
    """A guest of a host, ours or not: what the API calls a virtual machine. `machine_id` is the machine's row id."""

    id: int
    host_id: int
    name: str
    project: str
    machine_id: int | None
    power_state: str
    cores: int
    memory_mib: int
    pinned_core_ids: tuple[int, ...]
    huge_pages_backed: bool


@frozen(kw_only=True)
class NewHost:
    """A host as a person adds it. `zone` and `pool` are names; None takes the defaults."""

    driver: DriverType
    address: str
    name: str | None = None
    project: str = ""
    zone: str | None = None
    pool: str | None = None
    tags: tuple[str, ...] = ()
    cpu_over_commit_ratio: float = 1.0
    memory_over_commit_ratio: float = 1.0
    reserved_cores: int = 0
    reserved_memory_mib: int = 0
    default_macvlan_mode: str | None = None
    power_pass: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)  # LXD: a trust token or a trust password
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class HostChange:
    """What an update says; None keeps what is there."""

    driver: DriverType | None = None
    address: str | None = None
    name: str | None = None
    zone: str | None = None
    pool: str | None = None
    tags: tuple[str, ...] | None = None
    cpu_over_commit_ratio: float | None = None
    memory_over_commit_ratio: float | None = None
    reserved_cores: int | None = None
    reserved_memory_mib: int | None = None
    project: str | None = None
    default_storage_pool: str | None = None  # the pool's key, or its name
    default_macvlan_mode: str | None = None
    power_pass: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)  # LXD: a trust token or a trust password
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)


def check_reserve(change: HostChange, host: HostView) -> None:
    """Raises InvalidRequest when more is to be kept for the host than it has. No bounds while that is unknown."""
    if host.total is None:
        return
    wanted = {
        "reserved_cores": (change.reserved_cores, host.total.cores),
        "reserved_memory": (change.reserved_memory_mib, host.total.memory_mib),
    }
    wrong = {name: [at_most(most)] for name, (amount, most) in wanted.items() if amount is not None and amount > most}
    if wrong:
        raise InvalidRequest.of(wrong)
