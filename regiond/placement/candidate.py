"""A host as placement sees it, and what of its capacity is claimable and free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

from attrs import field, frozen

from common.hosts.capacity import ResourceCapacity
from common.hosts.host_settings import HostSettings
from common.values import POOL_AVAILABLE, NicKind


@frozen(kw_only=True)
class CandidateSubnet:
    id: int
    name: str
    cidr: str


@frozen(kw_only=True)
class CandidateInterface:
    """A host interface to which a NIC can be attached. Ids and names of networks are None while unknown.

    `type` (`physical`, `bond`, `bridge`, `vlan`, `unknown`) is what constraints name; `kind` and `name` define the
    attachment. `vid` is that of the interface's VLAN. Virtual functions are counted per `function_port`: the name of
    the port, for a VLAN that of its parent. `parent` is the uplink interface of the host, if any.
    """

    id: int
    name: str
    kind: NicKind
    type: str
    attachable: bool = True
    active: bool = True
    dhcp: bool = False
    vid: int | None = None
    vlan_id: int | None = None
    vlan_name: str | None = None
    fabric_id: int | None = None
    fabric_name: str | None = None
    fabric_class: str | None = None
    space_id: int | None = None
    space_name: str | None = None
    subnets: tuple[CandidateSubnet, ...] = ()
    tags: tuple[str, ...] = ()
    link_speed_mbps: int | None = None
    functions_total: int = 0
    functions_free: int = 0
    function_port: str | None = None
    parent: str | None = None


@frozen(kw_only=True)
class CandidateHugePages:
    size_kib: int
    total: int
    free: int


@frozen(kw_only=True)
class CandidateNode:
    """A NUMA node. No guest is pinned to `free_core_ids`; `siblings` groups the threads of a physical core.

    `pinned_by` has the name of the guest that is pinned to a core, where it is known.
    """

    node_id: int
    core_ids: tuple[int, ...]
    free_core_ids: tuple[int, ...]
    siblings: tuple[tuple[int, ...], ...] = ()
    pages: tuple[CandidateHugePages, ...] = ()
    pinned_by: Mapping[int, str] = field(factory=dict, eq=False)


@frozen(kw_only=True)
class CandidateStoragePool:
    """A storage pool: `free_bytes` of its `total_bytes` can still be claimed, if its `status` is `available`.

    Pools of a server with the same `storage_id` share what is free. Empty: it shares with none.
    """

    id: int
    pool_key: str
    name: str
    total_bytes: int
    free_bytes: int
    status: str = POOL_AVAILABLE
    storage_id: str = ""

    @property
    def is_available(self) -> bool:
        return self.status == POOL_AVAILABLE

    @property
    def storage(self) -> str | int:
        """The same for pools of a server that share what is free."""
        return self.storage_id or self.id


@frozen(kw_only=True)
class Candidate(HostSettings):
    """A host as placement sees it. Unknown capacity is None; claims are those of the whole server.

    `zone` and `pool` (the resource pool) are names. Only guests backed by huge pages can use `huge_memory_mib`, which
    is a part of `memory_mib`. `autostart` is the one in effect, and decides nothing here.

    The last call or refresh of a `lost` host failed; the next successful refresh clears that. `maintenance` says since
    when and by whom the host is in maintenance, and why.

    `cores_claimed_here` and `memory_mib_claimed_here` are the claims of the host's own machines. They are read only
    for hosts that lack capacity, to explain it; otherwise None.
    """

    id: int
    name: str
    state: str
    reachable: bool
    architecture: str | None
    cores: int | None
    memory_mib: int | None
    server_id: int | None = None
    lost: bool = False
    maintenance: str | None = None
    cores_claimed: int = 0
    memory_mib_claimed: int = 0
    cores_claimed_here: int | None = None
    memory_mib_claimed_here: int | None = None
    storage_pools: tuple[CandidateStoragePool, ...] = ()
    default_storage_pool_id: int | None = None
    cpu_speed_mhz: int | None = None
    zone: str = "default"
    zone_id: int = 1
    pool: str = "default"
    pool_id: int = 0
    tags: tuple[str, ...] = ()
    driver: str = ""
    product: str = ""  # gives disks their names, and their size in whole blocks
    huge_memory_mib: int = 0
    nodes: tuple[CandidateNode, ...] = ()
    interfaces: tuple[CandidateInterface, ...] = ()

    @property
    def cores_for_machines(self) -> int:
        return max(0, (self.cores or 0) - self.reserved_cores)

    @property
    def memory_mib_for_machines(self) -> int:
        """General memory, without the reserve."""
        return max(0, (self.memory_mib or 0) - self.huge_memory_mib - self.reserved_memory_mib)

    @property
    def cores_claimable(self) -> int:
        return claimable(self.cores_for_machines, self.cpu_over_commit_ratio)

    @property
    def memory_mib_claimable(self) -> int:
        return claimable(self.memory_mib_for_machines, self.memory_over_commit_ratio)

    @property
    def cores_free(self) -> int:
        return free_of(self.cores_claimable, self.cores_claimed)

    @property
    def memory_mib_free(self) -> int:
        return free_of(self.memory_mib_claimable, self.memory_mib_claimed)

    @property
    def cores_capacity(self) -> ResourceCapacity:
        return resource_capacity(
            self.cores or 0,
            reserved=self.reserved_cores,
            ratio=self.cpu_over_commit_ratio,
            claimed=self.cores_claimed_here or 0,
            claimed_by_all=self.cores_claimed,
        )

    @property
    def memory_mib_capacity(self) -> ResourceCapacity:
        """General memory: what huge pages hold is in `total` only."""
        return resource_capacity(
            self.memory_mib or 0,
            reserved=self.huge_memory_mib + self.reserved_memory_mib,
            ratio=self.memory_over_commit_ratio,
            claimed=self.memory_mib_claimed_here or 0,
            claimed_by_all=self.memory_mib_claimed,
        )


@lru_cache(maxsize=10_000)  # most machines have one of a few sizes, most hosts one of a few ratios
def claimable(total: int, ratio: float) -> int:
    """Returns `floor(total × ratio)` in decimal arithmetic: 100 × 0.29 is 29, not 28."""
    return int((Decimal(str(ratio)) * total).to_integral_value(rounding=ROUND_FLOOR))


def free_of(most: int, claimed_by_all: int) -> int:
    """Returns what is left of the `most` that is claimable; 0 after a ratio was lowered below the claims."""
    return max(0, most - claimed_by_all)


def resource_capacity(
    total: int,
    *,
    reserved: int = 0,
    ratio: float = 1.0,
    claimed: int = 0,
    claimed_by_all: int,
    takes_machines: bool = True,
) -> ResourceCapacity:
    """Returns the capacity as the guard of a claim counts it (`regiond.ledger.claims`).

    `claimed` are the claims of the host's own machines, `claimed_by_all` those of the whole server. Only cores and
    general memory have a `ratio`. Nothing is free on a host that takes no machines.
    """
    most = claimable(max(0, total - reserved), ratio)
    return ResourceCapacity(
        total=total,
        claimable=most,
        claimed=claimed,
        elsewhere=max(0, claimed_by_all - claimed),
        free=free_of(most, claimed_by_all) if takes_machines else 0,
    )


def sum_of(parts: Iterable[ResourceCapacity]) -> ResourceCapacity:
    """Adds up parts of which none is also in another: pools of a server, different servers.

    A part with more claims than is claimable does not reduce what the others have free.
    """
    parts = tuple(parts)
    return ResourceCapacity(
        total=sum(part.total for part in parts),
        claimable=sum(part.claimable for part in parts),
        claimed=sum(part.claimed for part in parts),
        elsewhere=sum(part.elsewhere for part in parts),
        free=sum(part.free for part in parts),
    )


def same_seen_by(views: Iterable[ResourceCapacity]) -> ResourceCapacity:
    """Returns the capacity of one resource that several hosts share, from the view of each.

    The claims of each host are in `claimed`, so `elsewhere` is what none of them holds. `claimable` and `free` are
    those of the host with the most: hosts of one server can have different ratios, and share what is free.
    """
    views = tuple(views)
    if len(views) == 1:
        return views[0]
    claimed = sum(view.claimed for view in views)
    used = max((view.claimed + view.elsewhere for view in views), default=0)
    return ResourceCapacity(
        total=max((view.total for view in views), default=0),
        claimable=max((view.claimable for view in views), default=0),
        claimed=claimed,
        elsewhere=max(0, used - claimed),
        free=max((view.free for view in views), default=0),
    )


def sum_of_storage(views: Iterable[tuple[Hashable, ResourceCapacity]]) -> ResourceCapacity:
    """Adds up storage pools; those with the same first value are on the same storage, which counts once."""
    by_storage: defaultdict[Hashable, list[ResourceCapacity]] = defaultdict(list)
    for storage, one in views:
        by_storage[storage].append(one)
    return sum_of(same_seen_by(shared) for shared in by_storage.values())
