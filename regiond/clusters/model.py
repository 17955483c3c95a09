"""A cluster as the API shows it: the totals of its member hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from common.hosts.capacity import NOTHING, Capacity, ResourceCapacity
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import Amounts, HostState, HostView, StoragePoolView, storage_bytes_of
from regiond.ledger.capacity_totals import total_capacity
from regiond.ledger.model import SHARED_POOL_TYPES, HostCapacity


@frozen(kw_only=True)
class ClusterRow:
    id: int
    name: str
    project: str
    zone: Zone
    pool: ResourcePool
    host_ids: tuple[int, ...]
    vm_count: int  # guests in the cluster's project


@frozen(kw_only=True)
class ClusterPool:
    """`tracked_bytes` are claimed by guests of the cluster's project, `other_bytes` by those of other projects."""

    total_bytes: int = 0
    tracked_bytes: int = 0
    other_bytes: int = 0
    path: str = ""
    backend: str = ""
    capacity: ResourceCapacity = NOTHING

    @property
    def free_bytes(self) -> int:
        return self.total_bytes - self.tracked_bytes - self.other_bytes


@frozen(kw_only=True)
class ClusterView:
    """`used` counts guests of all projects."""

    id: int
    name: str
    project: str
    zone: Zone
    pool: ResourcePool
    product: str  # LXD or Incus; empty while no member was read
    version: str
    host_ids: tuple[int, ...]
    vm_count: int
    total: Amounts
    used: Amounts
    storage_pools: Mapping[str, ClusterPool]
    capacity: Capacity = field(factory=Capacity)


@frozen(kw_only=True)
class ClusterChange:
    """None: unchanged. `zone` and `pool` are names, and are copied to the hosts of all members."""

    name: str | None = None
    zone: str | None = None
    pool: str | None = None


def view(row: ClusterRow, members: Iterable[HostView]) -> ClusterView:
    """The cluster with the totals of the hosts of its members."""
    known = [host for host in members if host.total is not None]
    capacity = total_capacity(_counted(host) for host in known)
    pools = _storage_pools(known, capacity)
    used_storage = sum(pool.tracked_bytes + pool.other_bytes for pool in pools.values())
    return ClusterView(
        id=row.id,
        name=row.name,
        project=row.project,
        zone=row.zone,
        pool=row.pool,
        product=next((host.product for host in known if host.product), ""),
        version=next((host.hypervisor_version or "" for host in known), ""),
        host_ids=row.host_ids,
        vm_count=row.vm_count,
        total=Amounts(
            cores=sum(host.total.cores for host in known if host.total),
            memory_mib=sum(host.total.memory_mib for host in known if host.total),
            storage_bytes=sum(pool.total_bytes for pool in pools.values()) - sum(map(_counted_again, known)),
        ),
        used=Amounts(
            cores=sum(host.claimed.cores for host in known),
            memory_mib=sum(host.all_memory_mib_claimed for host in known),
            storage_bytes=used_storage,
        ),
        storage_pools=pools,
        capacity=capacity,
    )


def _counted(host: HostView) -> HostCapacity:
    """All hosts are of one cluster, so any name of it will do."""
    return HostCapacity(
        host_id=host.id,
        server_id=host.server_id,
        state=host.state.value,
        zone=host.zone.name,
        pool=host.pool.name,
        cluster="this",
        shared_pools=frozenset(pool.name for pool in host.storage_pools if pool.type in SHARED_POOL_TYPES),
        storage_ids={pool.name: pool.storage_id for pool in host.storage_pools if pool.storage_id},
        capacity=host.capacity,
        is_open=host.state is HostState.READY and host.maintenance is None,
    )


def _counted_again(host: HostView) -> int:
    """Returns by how much the pools of the host add up to more than the storage that they share."""
    pools = [pool for pool in host.storage_pools if pool.storage_id]
    return sum(pool.share_bytes(_used(pool)) for pool in pools) - storage_bytes_of(pools, _used)


def _used(pool: StoragePoolView) -> int:
    return max(pool.used_bytes, pool.claimed_bytes)


def _storage_pools(hosts: Iterable[HostView], capacity: Capacity) -> dict[str, ClusterPool]:
    """Sums over the members, by name."""
    found: dict[str, ClusterPool] = {}
    for host in hosts:
        for pool in host.storage_pools:
            so_far = found.get(pool.name, ClusterPool())
            shared = pool.type in SHARED_POOL_TYPES and pool.name in found
            found[pool.name] = ClusterPool(
                total_bytes=so_far.total_bytes + (0 if shared else pool.share_bytes(_used(pool))),
                tracked_bytes=so_far.tracked_bytes + pool.used_bytes,
                other_bytes=so_far.other_bytes + max(0, pool.claimed_bytes - pool.used_bytes),
                path=so_far.path or pool.path,
                backend=pool.type,
                capacity=capacity.storage_pools.get(pool.name, NOTHING),
            )
    return found
