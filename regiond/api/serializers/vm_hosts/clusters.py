"""LXD clusters as MAAS shows them: memory in bytes, storage pools by name."""

from __future__ import annotations

from common.units import BYTES_PER_MIB
from regiond.api.declaration.serializer import INT, STR, Serializer, fields_of, key, mapping, serializer
from regiond.api.serializers.vm_hosts.capacity import CAPACITY_JSON, RESOURCE_CAPACITY_JSON
from regiond.api.urls import uri
from regiond.clusters.model import ClusterPool, ClusterView
from regiond.hosts.model import Amounts

_AMOUNTS: Serializer[Amounts] = serializer(
    "ClusterAmounts",
    key("cores", INT, lambda amounts: amounts.cores),
    key("memory", INT, lambda amounts: amounts.memory_mib * BYTES_PER_MIB),
    key("local_storage", INT, lambda amounts: amounts.storage_bytes),
)
_STORAGE_POOL: Serializer[ClusterPool] = serializer(
    "ClusterStoragePool",
    *fields_of(
        ClusterPool,
        "free=free_bytes total=total_bytes allocated_tracked=tracked_bytes allocated_other=other_bytes path backend",
    ),
    key("capacity", RESOURCE_CAPACITY_JSON, lambda pool: pool.capacity),  # MAAS lacks it
)
CLUSTER_JSON: Serializer[ClusterView] = serializer(
    "VmCluster",
    *fields_of(ClusterView, "id name project"),
    key("vmhost_count", INT, lambda cluster: len(cluster.host_ids)),
    *fields_of(ClusterView, "vm_count version total used", total=_AMOUNTS, used=_AMOUNTS),
    key("available", _AMOUNTS, lambda cluster: cluster.total - cluster.used),
    key("storage_pools", mapping(_STORAGE_POOL), lambda cluster: cluster.storage_pools),
    key("resource_uri", STR, lambda cluster: uri("vm-clusters", str(cluster.id)).rstrip("/")),
    key("capacity", CAPACITY_JSON, lambda cluster: cluster.capacity),  # MAAS lacks it
)
