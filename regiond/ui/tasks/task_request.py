"""The request of a task, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from common.boot import BootDevice
from common.words.operation_kinds import OperationKind
from regiond.machines.bulk.progress import BulkRequest
from regiond.machines.hardware.hardware_kinds import REQUESTS
from regiond.machines.running.deployment.rebuild import DeploymentRequest
from regiond.machines.values.disks import NamedDisk
from regiond.machines.values.guest_request import StateBefore
from regiond.machines.values.requests import StoredCompose
from regiond.operations.model import Operation
from regiond.ui.tasks.task_log import label_of, value_text
from regiond.ui.texts import constant, text
from regiond.ui.views import formats
from regiond.ui.words.boot_words import boot_words
from regiond.ui.words.task_facts import source_of

_LABELS: Mapping[str, str] = {
    "was": constant("State before"),
    "hostname": constant("Name"),
    "name": constant("Name"),
    "cores": constant("Cores"),
    "zone": constant("Zone"),
    "pool": constant("Resource pool"),
    "host": constant("Host"),
    "memory_mib": constant("RAM"),
    "at_once": constant("At the same time"),
    "huge_pages_backed": constant("Huge pages"),
    "one_numa_node": constant("On one NUMA node"),
    "uefi": constant("UEFI"),
    "secure_boot": constant("Secure Boot"),
    "tpm": constant("TPM"),
    "power_on": constant("Start afterwards"),
    "register_in_maas": constant("Register in MAAS"),
    "server": constant("MAAS server"),
    "commission": constant("Commission"),
    "deployed": constant("As deployed"),
    "keep_record": constant("Keep the record"),
    "composed_by": constant("Composed by"),
    "guest_name": constant("Name on the host"),
    "mac_address": constant("MAC address"),
    "power_address": constant("Address"),
    "size": constant("Size"),
    "storage_pool": constant("Storage pool"),
    "tags": constant("Tags"),
    "boot_order": constant("Boot order"),
    "boot_once": constant("Only at the next start"),
    "interfaces": constant("Network"),
    "disk": constant("Disk"),
    "interface": constant("NIC"),
    "content": constant("Content of the disk"),
}
_ACTIONS: Mapping[str, str] = {
    "on": constant("start"),
    "off": constant("stop"),
    "force_off": constant("power off by force"),
    "cycle": constant("restart"),
    "query": constant("query the state"),
    "power_on": constant("start"),
    "power_off": constant("stop"),
    "power_cycle": constant("restart"),
    "resize": constant("resize"),
    "add_disk": constant("add a disk"),
    "set_boot": constant("set the boot order"),
    "add_interface": constant("add a NIC"),
    "rebuild": constant("rebuild"),
    "grow_disk": constant("grow a disk"),
    "move_disk": constant("move a disk"),
    "remove_disk": constant("remove a disk"),
    "change_interface": constant("change a NIC"),
    "remove_interface": constant("remove a NIC"),
    "clone": constant("clone"),
}
_INNER = frozenset(
    {"earlier", "earlier_since", "power", "marker", "registration", "before"}
)  # how the engine does it, not what was asked for

_OF_DISKS = (OperationKind.ADD_DISK, OperationKind.GROW_DISK, OperationKind.MOVE_DISK, OperationKind.REMOVE_DISK)


@frozen(kw_only=True)
class _Intent:
    request: Mapping[str, Any]


@frozen(kw_only=True)
class _Asked:
    """The fields that were asked for, as the row has them: those of another release are shown too."""

    requested: Mapping[str, Any] = field(factory=dict)
    intent: _Intent | None = None


def requested(task: Operation) -> list[tuple[str, str]]:
    """Returns labels with the plain values of the request, of a compose those that it was asked for."""
    if task.kind is OperationKind.DEPLOY:
        return _of_deployment(task)
    if task.kind is OperationKind.IMPORT:
        return [(text("Source"), source_of(task))]
    if task.kind is OperationKind.EXPORT or task.kind in _OF_DISKS:
        return _of_disks(task)
    if task.kind is OperationKind.COMPOSE:
        stored = task.request_if(StoredCompose)
        if stored is not None and stored.copied is not None:
            return [(text("Copies the disks of"), stored.copied.hostname)]
    request = _as_stored(task)
    if task.kind is OperationKind.BULK:
        request = {**request, **_of_change(task.request_as(BulkRequest))}
    named = {"kind": task.kind.value}  # an allocation repeats it
    return [
        (_LABELS.get(name) or label_of(name), printed)
        for name, value in request.items()
        if name not in _INNER and named.get(name) != value and value is not False and (printed := _text(name, value))
    ]


def _as_stored(task: Operation) -> Mapping[str, Any]:
    """The keys of a compose or an allocation are those that were asked for, in their order in the row."""
    asked = task.request_if(_Asked) or _Asked()
    return asked.requested or (asked.intent.request if asked.intent is not None else {}) or task.request


def _of_deployment(task: Operation) -> list[tuple[str, str]]:
    request, was = task.request_if(DeploymentRequest), task.request_as(StateBefore).was
    if request is None:  # it was rejected before it began
        return []
    found = [
        (text("Image"), f"{request.osystem}/{request.distro_series}"),
        (text("State before"), str(was).replace("_", " ")),
    ]
    return [*found, (text("Content of the other disks"), text("kept"))] if request.rebuild else found


def _of_disks(task: Operation) -> list[tuple[str, str]]:
    request: Any = task.request_if(REQUESTS[task.kind])
    if request is None:  # as above
        return []
    if task.kind is OperationKind.EXPORT:
        return [(text("Disks"), ", ".join(one.title for one in request.disks))]
    return _of_disk(task.kind, request)


def _of_disk(kind: OperationKind, request: Any) -> list[tuple[str, str]]:
    size = request.size if kind is OperationKind.GROW_DISK else request.disk
    found = [(text("Disk"), request.title), (text("Size"), formats.storage(size.size_bytes))]
    if kind is not OperationKind.GROW_DISK:
        found.append((text("Storage pool"), request.storage_pool))
    if kind is OperationKind.MOVE_DISK:
        found.append((text("Moves to"), request.copy_storage_pool))
    if kind is OperationKind.REMOVE_DISK:
        found.append((text("Content of the disk"), text("kept") if request.keep else text("deleted")))
    return found


def _of_change(request: BulkRequest) -> Mapping[str, Any]:
    """Returns what many VMs get, in place of the parts of the request that have it."""
    if request.clone is not None:
        cores, memory_mib = request.clone.cores or "", request.clone.memory_mib or ""
        return {"cores": cores, "memory_mib": memory_mib, "storage_pool": request.clone.storage_pool}
    if request.disk is not None:
        disk = request.disk
        return {"size": formats.storage(disk.size_bytes), "storage_pool": disk.pool, "tags": ", ".join(disk.tags)}
    if request.boot is not None:
        order = boot_words(tuple(map(BootDevice, request.boot.order)))
        return {"boot_order": order, "boot_once": text("yes") if request.boot.once else ""}
    if request.named_disk is not None:
        return _of_named_disk(request.named_disk)
    if request.named_nic is not None:
        return {"interface": request.named_nic.name, "interfaces": request.named_nic.constraint or ""}
    return {} if request.nic is None else {"interfaces": request.nic.constraint}


def _of_named_disk(disk: NamedDisk) -> Mapping[str, Any]:
    content = "" if disk.keep is None else text("kept") if disk.keep else text("deleted")
    size = "" if disk.size_bytes is None else formats.storage(disk.size_bytes)
    return {"disk": disk.name, "size": size, "storage_pool": disk.pool or "", "content": content}


def _text(name: str, value: Any) -> str:
    if name == "action":
        return _ACTIONS.get(str(value), str(value))
    if name == "was":
        return str(value).replace("_", " ")
    return (value_text(name, value) or "") if isinstance(value, str | int | float) else ""
