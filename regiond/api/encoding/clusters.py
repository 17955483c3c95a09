"""Clusters as MAAS shows them: memory in bytes, storage pools by name."""

from __future__ import annotations

from typing import Any

from common.units import BYTES_PER_MIB
from regiond.api.paths import uri
from regiond.clusters.model import ClusterPool, ClusterView
from regiond.hosts.model import Amounts


def encode_cluster(cluster: ClusterView) -> dict[str, Any]:
    total, used = cluster.total, cluster.used
    left = Amounts(
        cores=total.cores - used.cores,
        memory_mib=total.memory_mib - used.memory_mib,
        storage_bytes=total.storage_bytes - used.storage_bytes,
    )
    return {
        "id": cluster.id,
        "name": cluster.name,
        "project": cluster.project,
        "vmhost_count": len(cluster.host_ids),
        "vm_count": cluster.vm_count,
        "version": cluster.version,
        "total": _amounts(total),
        "used": _amounts(used),
        "available": _amounts(left),
        "storage_pools": {name: _storage_pool(pool) for name, pool in cluster.storage_pools.items()},
        "resource_uri": uri("vm-clusters", str(cluster.id)).rstrip("/"),
    }


def _amounts(amounts: Amounts) -> dict[str, int]:
    return {
        "cores": amounts.cores,
        "memory": amounts.memory_mib * BYTES_PER_MIB,
        "local_storage": amounts.storage_bytes,
    }


def _storage_pool(pool: ClusterPool) -> dict[str, Any]:
    return {
        "free": pool.free_bytes,
        "total": pool.total_bytes,
        "allocated_tracked": pool.tracked_bytes,
        "allocated_other": pool.other_bytes,
        "path": pool.path,
        "backend": pool.backend,
    }
