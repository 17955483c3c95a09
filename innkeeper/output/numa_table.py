"""Table rows for `vm-host numa`: one per resource of each NUMA node, and the server's claims on all nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHARE = ("total", "used_by_ours", "used_by_others", "free")
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))

NOTE = (
    "Cores and memory of one node count only virtual machines with pinned cores, since the hypervisor places the "
    "others.\nThe rows 'all' count every virtual machine of the server; 'free' is there what composes can still get, "
    "with\nratios and reserves."
)


def rows_of(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cores, memory, huge pages by size and virtual functions by network interface of each node, then of all nodes."""
    rows = [row for node in nodes for row in _rows(node)]
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


def _rows(node: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
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
    for unit, name in _UNITS:
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
