"""What allocation answers: a machine with what its labels mean, or what would be composed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.encoding.machines import encode_block_device, encode_interface, encode_machine
from regiond.machines.allocating import Allocated
from regiond.machines.asked_machines import intent_of, parts_of
from regiond.machines.matching import Labelled
from regiond.machines.model import AllocateRequest
from regiond.placement.model import Placement


def encode_allocated(found: Allocated, *, verbose: bool) -> dict[str, Any]:
    """`verbose_storage` and `verbose_interfaces` hold the disks and cards of each label whole."""
    machine, labels = found.machine, found.labels
    answer = {
        **encode_machine(machine),
        "constraint_map": {str(id_): label for label, id_ in labels.disks},
        "constraints_by_type": {"storage": _by_label(labels.disks), "interfaces": _by_label(labels.nics)},
    }
    if verbose:
        disks = {disk.id: encode_block_device(machine, disk) for disk in machine.disks}
        nics = {nic.id: encode_interface(machine, nic) for nic in machine.nics}
        answer["verbose_storage"] = _whole(labels.disks, disks)
        answer["verbose_interfaces"] = _whole(labels.nics, nics)
    return answer


def encode_would_compose(placement: Placement, request: AllocateRequest) -> dict[str, Any]:
    """There is no machine yet, so there are no ids: labels have empty lists."""
    compose, parts = intent_of(request).request, parts_of(request)
    return {
        "system_id": None,
        "would_compose": {
            "cpu_count": compose.cores,
            "memory": compose.memory_mib,
            "storage": compose.storage,
            "interfaces": compose.interfaces,
        },
        "explanation": placement.as_explanation(),
        "constraint_map": {},
        "constraints_by_type": {
            "storage": {wish.label: [] for wish in parts.disks if wish.label},
            "interfaces": {wish.label: [] for wish in parts.nics},
        },
    }


def _by_label(pairs: Labelled) -> dict[str, list[int]]:
    """A label that was given to several parts means all of them."""
    found: dict[str, list[int]] = {}
    for label, id_ in pairs:
        found.setdefault(label, []).append(id_)
    return found


def _whole(pairs: Labelled, encoded: Mapping[int, Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {label: [encoded[id_] for id_ in ids if id_ in encoded] for label, ids in _by_label(pairs).items()}
