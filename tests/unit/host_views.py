"""Hosts as values, for tests of what is decided about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from common.values import DriverType, HostNetwork, NicKind
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import Amounts, HostState, HostView, StoragePoolView

GB = 10**9


def storage_pool(number: int = 1, name: str = "default", **changes: Any) -> StoragePoolView:
    fields: dict[str, Any] = {
        "id": number, "pool_key": f"key-{name}", "name": name, "type": "dir", "path": f"/{name}",
        "total_bytes": 100 * GB, "used_bytes": 0, "claimed_bytes": 0, "used_elsewhere_bytes": 0,
        "is_default": number == 1,
    }  # fmt: skip
    return StoragePoolView(**{**fields, **changes})


def host_view(**changes: Any) -> HostView:
    fields: dict[str, Any] = {
        "id": 1, "name": "one", "driver": DriverType.SIMULATED, "address": "simulated:one", "project": "",
        "state": HostState.READY, "zone": Zone(id=1, name="default", description=""),
        "pool": ResourcePool(id=0, name="default", description=""), "tags": (), "cpu_over_commit_ratio": 1.0,
        "memory_over_commit_ratio": 1.0, "default_macvlan_mode": None, "system_id": "abcdef", "server_id": 1,
        "architecture": "amd64", "total": Amounts(cores=8, memory_mib=8192, storage_bytes=100 * GB),
        "storage_pools": (storage_pool(),), "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return HostView(**{**fields, **changes})


def network(name: str, kind: NicKind = NicKind.NETWORK, *, active: bool = True) -> HostNetwork:
    return HostNetwork(kind=kind, name=name, active=active)
