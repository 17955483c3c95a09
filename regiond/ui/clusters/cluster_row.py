"""A cluster as lists and page heads print it: the sums of its members. Pure."""

from __future__ import annotations

from attrs import frozen

from common.words.product_commands import commands_of
from regiond.clusters.model import ClusterView
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, memory_meter, meter_of, storage_meter


@frozen(kw_only=True)
class PoolRow:
    """A storage pool by its name on all members."""

    name: str
    backend: str
    path: str
    meter: Meter


@frozen(kw_only=True)
class ClusterRow:
    """`hosts` counts members. The meters are of what the members' last good refreshes found."""

    id: int
    name: str
    project: str
    product: str
    version: str
    zone: str
    pool: str
    hosts: int
    machines: int
    cores: Meter
    memory: Meter
    storage: Meter
    pools: tuple[PoolRow, ...]


def cluster_row(cluster: ClusterView) -> ClusterRow:
    capacity = cluster.capacity
    unit, amount = formats.storage_scale(capacity.storage_bytes.claimable)
    return ClusterRow(
        id=cluster.id,
        name=cluster.name,
        project=cluster.project,
        product=cluster.product or commands_of("").product,
        version=cluster.version or formats.DASH,
        zone=cluster.zone.name,
        pool=cluster.pool.name,
        hosts=len(cluster.host_ids),
        machines=cluster.vm_count,
        cores=meter_of(text("CPU cores of {name}", name=cluster.name), capacity.cores),
        memory=memory_meter(text("RAM of {name}", name=cluster.name), capacity.memory_mib),
        storage=storage_meter(text("Storage of {name}", name=cluster.name), capacity.storage_bytes),
        pools=tuple(
            PoolRow(
                name=name,
                backend=pool.backend,
                path=pool.path,
                meter=meter_of(text("Pool {name}", name=name), pool.capacity, unit=unit, text=amount),
            )
            for name, pool in sorted(cluster.storage_pools.items())
        ),
    )
