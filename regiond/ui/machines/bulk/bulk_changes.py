"""The same change of the hardware of many VMs: fields of its question and of the API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.units import BYTES_PER_GB
from regiond.machines.bulk.progress import BulkRequest
from regiond.machines.values.bulk import BulkAction as Task
from regiond.ui.machines.details.notes_form import names_in

# The fields of the API by those of the form, where `pool` is the resource pool and `once` a key.
_API: Mapping[Task, Mapping[str, str]] = {
    Task.RESIZE: {
        "cores": "cores",
        "memory": "memory",
        "pin_cores": "pin_cores",
        "hugepages_backed": "hugepages_backed",
        "hugepage_size": "hugepage_size",
    },
    Task.ADD_DISK: {"size": "size", "storage_pool": "pool", "disk_tags": "tags"},
    Task.SET_BOOT: {"order": "order", "next_only": "once"},
    Task.ADD_INTERFACE: {"interfaces": "interfaces"},
    Task.GROW_DISK: {"disk": "disk", "size": "size"},
    Task.MOVE_DISK: {"disk": "disk", "storage_pool": "pool"},
    Task.REMOVE_DISK: {"disk": "disk", "keep": "keep"},
    Task.CHANGE_INTERFACE: {"interface": "interface", "interfaces": "interfaces"},
    Task.REMOVE_INTERFACE: {"interface": "interface"},
}
FIELDS = tuple(dict.fromkeys(name for names in _API.values() for name in names))
NAMED_DISK, NAMED_NIC = frozenset({"grow", "move", "remove_disk"}), frozenset({"network", "remove_nic"})
ASKS = (
    frozenset({"size", "disk", "boot", "nic"}) | NAMED_DISK | NAMED_NIC
)  # of the actions in the list whose question has such fields


def api_fields(task: Task, given: Callable[[str], str]) -> dict[str, Any]:
    """Returns the fields of the API that are given."""
    found = {api: given(name).strip() for name, api in _API[task].items()}
    return {api: list(names_in(text)) if api == "tags" else text for api, text in found.items() if text}


def about_form(task: Task, problems: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Returns the problems of the API's fields by those of the form."""
    names = {api: name for name, api in _API.get(task, {}).items()}
    return {names.get(api, api): texts for api, texts in problems.items()}


def fields_again(request: BulkRequest) -> Sequence[tuple[str, str]]:
    """Returns the fields of the form with which the same change is asked for again."""
    found: dict[str, str] = {}
    if request.disk is not None:
        size_gb = f"{request.disk.size_bytes / BYTES_PER_GB:.12g}"
        found = {"size": size_gb, "storage_pool": request.disk.pool, "disk_tags": ", ".join(request.disk.tags)}
    elif request.boot is not None:
        found = {"order": ",".join(request.boot.order), "next_only": "true" if request.boot.once else ""}
    elif request.nic is not None:
        found = {"interfaces": request.nic.constraint}
    elif request.named_disk is not None:
        named = request.named_disk
        size_gb = "" if named.size_bytes is None else f"{named.size_bytes / BYTES_PER_GB:.12g}"
        kept = "true" if named.keep else ""
        found = {"disk": named.name, "size": size_gb, "storage_pool": named.pool or "", "keep": kept}
    elif request.named_nic is not None:
        found = {"interface": request.named_nic.name, "interfaces": request.named_nic.constraint or ""}
    elif request.action is Task.RESIZE:
        found = {
            "cores": str(request.cores or ""),
            "memory": str(request.memory_mib or ""),
            "pin_cores": "" if request.pin_cores is None else str(request.pin_cores),
            "hugepages_backed": "" if request.huge_pages is None else str(request.huge_pages).lower(),
            "hugepage_size": str(request.huge_page_size_mib or ""),
        }
    return [(name, value) for name, value in found.items() if value]
