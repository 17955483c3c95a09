"""JSON of allocate: a machine and what matched each label, or the machine that it would compose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from common.guests.compose_request import ComposeRequest
from regiond.api.declaration.serializer import (
    INT,
    NULL,
    OBJECT,
    STR,
    Serializer,
    array,
    constant,
    encoded,
    extended,
    fields_of,
    key,
    mapping,
    optional_key,
    serializer,
)
from regiond.api.serializers.machines import BLOCK_DEVICE_JSON, MACHINE_JSON, DiskOfMachine, encode_interface
from regiond.api.serializers.networks import INTERFACE_JSON
from regiond.machines.values.model import Allocated, MachineToCompose
from regiond.placement.model import explain

_IDS_BY_LABEL = mapping(array(INT))


@frozen(kw_only=True)
class AllocatedMachine:
    """A machine and what matched each label. `verbose` adds the complete disks and interfaces of each label."""

    found: Allocated
    verbose: bool

    def disks_by_label(self) -> dict[str, list[Any]] | None:
        if not self.verbose:
            return None
        machine = self.found.machine
        disks = {disk.id: BLOCK_DEVICE_JSON.encode(DiskOfMachine(machine=machine, disk=disk)) for disk in machine.disks}
        return _by_label(self.found.labels.disks, disks)

    def interfaces_by_label(self) -> dict[str, list[Any]] | None:
        if not self.verbose:
            return None
        machine = self.found.machine
        return _by_label(self.found.labels.nics, {nic.id: encode_interface(machine, nic) for nic in machine.nics})


def _ids_by_label(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Returns the ids of devices by label; several devices may have the same label."""
    ids: dict[str, list[int]] = {}
    for label, id_ in pairs:
        ids.setdefault(label, []).append(id_)
    return ids


def _by_label(pairs: Iterable[tuple[str, int]], devices: Mapping[int, Any]) -> dict[str, list[Any]]:
    return {label: [devices[id_] for id_ in ids if id_ in devices] for label, ids in _ids_by_label(pairs).items()}


_VERBOSE = (
    optional_key("verbose_storage", encoded(mapping(array(BLOCK_DEVICE_JSON))), AllocatedMachine.disks_by_label),
    optional_key("verbose_interfaces", encoded(mapping(array(INTERFACE_JSON))), AllocatedMachine.interfaces_by_label),
)
_CONSTRAINTS_BY_TYPE: Serializer[AllocatedMachine] = serializer(
    "ConstraintsByType",
    key("storage", _IDS_BY_LABEL, lambda allocated: _ids_by_label(allocated.found.labels.disks)),
    key("interfaces", _IDS_BY_LABEL, lambda allocated: _ids_by_label(allocated.found.labels.nics)),
    *_VERBOSE,
)
ALLOCATED_JSON: Serializer[AllocatedMachine] = extended(
    "AllocatedMachine",
    MACHINE_JSON,
    lambda allocated: allocated.found.machine,
    key(
        "constraint_map",
        mapping(STR),
        lambda allocated: {str(id_): label for label, id_ in allocated.found.labels.disks},
    ),
    key("constraints_by_type", _CONSTRAINTS_BY_TYPE, lambda allocated: allocated),
    *_VERBOSE,  # of 1.0 here; MAAS has them in constraints_by_type
)
_COMPOSE: Serializer[ComposeRequest] = serializer(
    "WouldCompose", *fields_of(ComposeRequest, "cpu_count=cores memory=memory_mib storage interfaces")
)
_LABELS_WITHOUT_IDS: Serializer[MachineToCompose] = serializer(
    "LabelsWithoutIds",
    key("storage", _IDS_BY_LABEL, lambda dry_run: {label: [] for label in dry_run.disk_labels}),
    key("interfaces", _IDS_BY_LABEL, lambda dry_run: {label: [] for label in dry_run.nic_labels}),
)
# The machine does not exist yet, so each label has an empty list of ids.
MACHINE_TO_COMPOSE_JSON: Serializer[MachineToCompose] = serializer(
    "MachineToCompose",
    constant("system_id", NULL, None),
    key("would_compose", _COMPOSE, lambda dry_run: dry_run.request),
    key("explanation", OBJECT, lambda dry_run: explain(dry_run.placement)),
    constant("constraint_map", mapping(STR), {}),
    key("constraints_by_type", _LABELS_WITHOUT_IDS, lambda dry_run: dry_run),
)
