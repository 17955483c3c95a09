"""Tables of capacity by group, of NUMA nodes by resource, and of clusters in the units of hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHARE = ("total", "used_by_ours", "used_by_others", "free")
_BINARY = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
NUMA_NOTE = (
    "Cores and memory of one node count only virtual machines with pinned cores, since the hypervisor places the "
    "others.\nThe rows 'all' count every virtual machine of the server; 'free' is there what composes can still get, "
    "with\nratios and reserves."
)
CAPACITY_NOTE = (
    "'free/claimable': what composes can still get of what Innkeeper may hand out, with ratios and reserves.\n"
    "A server with several hosts counts once in each row. Servers that no rack reaches are not counted as free."
)
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


def capacity_rows(capacity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`of` is `fleet`, `zone NAME` or `pool NAME`; `unreachable` is the number of servers that are not in `servers`."""
    zones: Sequence[Mapping[str, Any]] = capacity["zones"]
    pools: Sequence[Mapping[str, Any]] = capacity["pools"]
    return [
        _group_row("fleet", capacity["fleet"]),
        *(_group_row(f"zone {zone['name']}", zone) for zone in zones),
        *(_group_row(f"pool {pool['name']}", pool) for pool in pools),
    ]


def _group_row(of: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "of": of,
        "hosts": group["hosts"],
        "servers": group["servers"],
        "unreachable": group["unreachable_servers"],
        "capacity": group["capacity"],
    }


def numa_rows(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cores, memory, huge pages by size and virtual functions by network interface of each node, then of all nodes."""
    rows = [row for node in nodes for row in _node_rows(node)]
    if nodes:
        server = nodes[0]["server"]
        capacity = server.get("capacity") or {}
        rows.append({"node": "all", "resource": "cores", **_share(server["cores"]), **_free(capacity, "cores")})
        rows.append(
            {"node": "all", "resource": "memory MiB", **_share(server["memory"]), **_free(capacity, "memory_mib")}
        )
    return rows


def _free(capacity: Mapping[str, Any], resource: str) -> dict[str, Any]:
    return {"free": capacity[resource]["free"]} if resource in capacity else {}


def _node_rows(node: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    number, cores, memory = node["node_id"], node["cores"], node["memory"]
    counted = {key: len(cores[key]) for key in _SHARE}
    yield {"node": number, "resource": "cores", **counted, "free_cores": _ranges(cores["free"])}
    yield {"node": number, "resource": "memory MiB", **_share(memory["general"])}
    for pages in memory["hugepages"]:
        yield {"node": number, "resource": f"pages of {_size(pages['page_size'])}", **_share(pages)}
    for device in node["network_devices"]:
        name = ", ".join(device["ports"]) or device["pci_address"] or device["product"]
        yield {"node": number, "resource": f"functions of {name}", **_share(device["virtual_functions"])}


def _share(share: Mapping[str, Any]) -> dict[str, Any]:
    return {key: share[key] for key in _SHARE}


def _size(size_bytes: int) -> str:
    for unit, name in _BINARY:
        if size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} bytes"


def _ranges(ids: Iterable[int]) -> str:
    """`0-3,8`."""
    runs: list[list[int]] = []
    for one in sorted(ids):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def with_unit(key: str, value: Any) -> str | None:
    """Returns `2.0 GiB`, or None if the value of `key` is no amount that has a unit."""
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
