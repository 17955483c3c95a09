"""Values of the ledger: what a guest claims, what a machine demands, and what a check finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from common.hosts.capacity import Capacity

SHARED_POOL_TYPES = frozenset({"ceph", "cephfs"})  # one pool for all members of a cluster: it counts once
ClaimRow = tuple[str, int | None, str | None, int]  # resource, storage pool (row id), key, amount


def pages_key(node_id: int, size_kib: int) -> str:
    """Returns the key of the huge pages of one size on one NUMA node: `NODE/SIZE_KIB`."""
    return f"{node_id}/{size_kib}"


def read_pages_key(key: str) -> tuple[int, int]:
    """Returns node id and page size in KiB. Raises ValueError if `pages_key` did not make the key."""
    node_id, size_kib = key.split("/")
    return int(node_id), int(size_kib)


def page_size_kib(huge_pages: Mapping[str, int]) -> int | None:
    """Returns the page size of a guest, whose pages all have the same size; None if it has no huge pages."""
    return min((read_pages_key(key)[1] for key in huge_pages), default=None)


def _sorted_set(core_ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({*core_ids}))


def _non_zero(amounts: Mapping[str, int]) -> dict[str, int]:
    return {key: amount for key, amount in amounts.items() if amount}


@frozen(kw_only=True)
class DiscreteResources:
    """Resources that are claimed piece by piece and never overcommitted.

    `huge_pages` maps `NODE/SIZE_KIB`, `functions` maps the name of a physical port, to a number of pieces.
    """

    pinned_core_ids: tuple[int, ...] = field(default=(), converter=_sorted_set)
    huge_pages: Mapping[str, int] = field(factory=dict, converter=_non_zero)
    functions: Mapping[str, int] = field(factory=dict, converter=_non_zero)

    def rows(self) -> Iterable[ClaimRow]:
        for core_id in self.pinned_core_ids:
            yield "pinned_core", None, str(core_id), 1
        for key, pages in self.huge_pages.items():
            yield "huge_pages", None, key, pages
        for port, functions in self.functions.items():
            yield "virtual_functions", None, port, functions


NO_DISCRETE_RESOURCES = DiscreteResources()


def discrete_resources_of(rows: Iterable[tuple[str, str, int]]) -> DiscreteResources:
    """Builds the value from (resource, key, amount) of the claims of one guest. Ignores other resources."""
    rows = list(rows)
    return DiscreteResources(
        pinned_core_ids=[int(key) for resource, key, _ in rows if resource == "pinned_core"],
        huge_pages={key: amount for resource, key, amount in rows if resource == "huge_pages"},
        functions={key: amount for resource, key, amount in rows if resource == "virtual_functions"},
    )


@frozen(kw_only=True)
class GuestClaims:
    """All claims of one guest, managed or foreign.

    `memory_mib` excludes huge pages. `storage_bytes` maps the row id of a storage pool to bytes.
    """

    cores: int
    memory_mib: int
    storage_bytes: Mapping[int, int] = field(factory=dict)
    discrete: DiscreteResources = NO_DISCRETE_RESOURCES

    def rows(self) -> Iterable[ClaimRow]:
        yield "cores", None, None, self.cores
        yield "memory_mib", None, None, self.memory_mib
        for pool_id, amount in self.storage_bytes.items():
            yield "storage_bytes", pool_id, None, amount
        yield from self.discrete.rows()


@frozen(kw_only=True)
class Demand:
    """The amounts that a machine requires of a host, apart from discrete resources.

    `memory_mib` is 0 for a machine whose memory is all in huge pages. `storage_bytes` maps the row id of a storage
    pool to bytes.
    """

    host_id: int
    cores: int
    memory_mib: int
    storage_bytes: Mapping[int, int] = field(factory=dict)

    def rows(self) -> Iterable[tuple[str, int | None, int]]:
        yield "cores", None, self.cores
        yield "memory_mib", None, self.memory_mib
        for pool_id, amount in self.storage_bytes.items():
            yield "storage_bytes", pool_id, amount


@frozen(kw_only=True)
class ClaimResult:
    """The result of a batch claim.

    `servers` maps each host whose demands were claimed to its server; `without_storage` are the hosts with a storage
    pool that lacks the capacity.
    """

    servers: Mapping[int, int]
    without_storage: frozenset[int]


@frozen(kw_only=True)
class TotalMismatch:
    """A running total of a server that differs from the sum of its claims; both as text."""

    server_id: int
    server: str
    subject: str
    total: str
    claimed: str

    @property
    def text(self) -> str:
        return f"{self.subject} of {self.server}: the total is {self.total}, the claims add up to {self.claimed}"


@frozen(kw_only=True)
class HostCapacity:
    """The capacity of a host and the groups in which it is counted; `capacity` is None while it is unknown.

    `zone`, `pool` (the resource pool) and `state` are names. `cluster` is the identity of the host's LXD cluster, whose
    members share the `shared_pools`. `storage_ids` has those of storage pools, by name, whose space pools of the server
    can share. `is_open`: it takes new machines, so it is ready and not in maintenance.
    `takes_claims`: machines that it has can get more of it.
    `claimed` has what its own machines claim of its server, by resource and key: that of a storage pool is its row id.
    """

    host_id: int
    server_id: int | None
    state: str
    zone: str
    pool: str
    cluster: str | None = None
    shared_pools: frozenset[str] = frozenset()
    storage_ids: Mapping[str, str] = field(factory=dict)
    capacity: Capacity | None = None
    is_open: bool = False
    takes_claims: bool = True
    claimed: Mapping[tuple[str, str | None], int] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class GroupCapacity:
    """The capacity of the hosts of a zone, of a resource pool, or of all (`name` is then None).

    `states` counts the hosts by state. A server of which this group has only unreachable hosts counts in
    `unreachable_servers` and `unreachable` instead of `servers` and `capacity`. A host whose capacity is unknown counts
    in `states` only. `open_hosts` take new machines, and `open` is the capacity of these alone.
    """

    name: str | None
    states: Mapping[str, int]
    servers: int
    capacity: Capacity
    unreachable_servers: int
    unreachable: Capacity
    open_hosts: int = 0
    open: Capacity = field(factory=Capacity)


@frozen(kw_only=True)
class FleetCapacity:
    """Zones and resource pools with hosts, by name."""

    fleet: GroupCapacity
    zones: tuple[GroupCapacity, ...]
    pools: tuple[GroupCapacity, ...]
