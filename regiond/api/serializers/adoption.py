"""Adopted guests, detached and forgotten machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.declaration.serializer import INT, STR, Serializer, fields_of, key, nullable, serializer
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.serializers.vm_hosts.hosts import full_architecture
from regiond.api.urls import machine_uri
from regiond.machines.values.adoption import Adopted, DetachedMachine, ForgottenMachine

ADOPTED_JSON: Serializer[Adopted] = serializer(
    "Adopted",
    *fields_of(Adopted, "guest=guest_name system_id hostname"),
    key(
        "resource_uri",
        nullable(STR),
        lambda adopted: None if adopted.system_id is None else machine_uri(adopted.system_id),
    ),
    *fields_of(Adopted, "operation rejected", operation=OPERATION_JSON),
)
_DISK: Serializer[Mapping[str, Any]] = serializer(
    "DetachedDisk",
    key("volume", STR, lambda disk: disk["volume"]),
    key("storage_pool", STR, lambda disk: disk["pool_name"]),
    key("size", INT, lambda disk: disk["size_bytes"]),
)
_INTERFACE: Serializer[Mapping[str, Any]] = serializer(
    "DetachedInterface",
    key("name", STR, lambda nic: nic["name"]),
    key("mac_address", STR, lambda nic: nic["mac_address"]),
)
DETACHED_MACHINE_JSON: Serializer[DetachedMachine] = serializer(
    "DetachedMachine",
    *fields_of(
        DetachedMachine,
        "system_id hostname hardware_uuid=uuid host=host_name host_type=driver host_address=address",
        "host_project=project adopted pool zone owner",
    ),
    key("architecture", STR, lambda machine: full_architecture(machine.architecture)),
    *fields_of(
        DetachedMachine,
        "cpu_count=cores memory=memory_mib tag_names=tags disks interfaces=nics detached_at lost",
        disks=_DISK,
        interfaces=_INTERFACE,
    ),
)
FORGOTTEN_MACHINE_JSON: Serializer[ForgottenMachine] = serializer(
    "ForgottenMachine",
    *fields_of(
        ForgottenMachine,
        "system_id hostname host=host_name guest=guest_name virtual_machine=guest_id forgotten_at username",
    ),
)
