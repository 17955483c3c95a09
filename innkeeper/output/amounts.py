"""Units of the API's amounts, and clusters in the same units as hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MIB, _GB = 1024**2, 1000**3
_IN_GIB, _IN_GB = (1024, "GiB"), (_GB, "GB")
_UNITS: Mapping[str, tuple[int, str]] = {
    "memory": _IN_GIB,
    "reserved_memory": _IN_GIB,
    "size": _IN_GB,
    "available_size": _IN_GB,
    "used_size": _IN_GB,
    "storage": (1000, "GB"),  # of a machine: in MB
}
_CLUSTERS = ("vm-clusters", "vm-cluster")


def with_unit(key: str, value: Any) -> str | None:
    """`2.0 GiB`; None if the value of `key` is no amount that has a unit."""
    if key not in _UNITS or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    divisor, unit = _UNITS[key]
    return f"{value / divisor:.1f} {unit}"


def in_usual_units(plain: Any, resource: str) -> Any:
    """Returns clusters with memory in MiB and a list of storage pools, as hosts have them; anything else unchanged."""
    if resource not in _CLUSTERS:
        return plain
    if isinstance(plain, list):
        return [_cluster(each) for each in plain]
    return _cluster(plain)


def _cluster(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    found = dict(plain)
    for key in ("total", "used", "available"):
        if isinstance(found.get(key), dict) and isinstance(found[key].get("memory"), int):
            found[key] = {**found[key], "memory": found[key]["memory"] // _MIB}
    if isinstance(found.get("storage_pools"), dict):
        found["storage_pools"] = [_pool(name, pool) for name, pool in found["storage_pools"].items()]
    return found


def _pool(name: str, pool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": pool.get("backend"),
        "total": pool.get("total"),
        "used": pool.get("allocated_tracked", 0) + pool.get("allocated_other", 0),
        "available": pool.get("free"),
        "path": pool.get("path") or None,
        "capacity": pool.get("capacity"),
    }
