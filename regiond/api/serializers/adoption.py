"""Adopted guests, detached and forgotten machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    key,
    nullable,
    serializer,
)
from regiond.api.serializers.hosts import full_architecture
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.api.urls import machine_uri
from regiond.machines.model import Adopted, DetachedMachine, ForgottenMachine

ADOPTED_JSON: Serializer[Adopted] = serializer(
    "Adopted",
    key("guest", STR, lambda adopted: adopted.guest_name),
    key("system_id", nullable(STR), lambda adopted: adopted.system_id),
    key("hostname", nullable(STR), lambda adopted: adopted.hostname),
    key(
        "resource_uri",
        nullable(STR),
        lambda adopted: None if adopted.system_id is None else machine_uri(adopted.system_id),
    ),
    key("operation", nullable(OPERATION_JSON), lambda adopted: adopted.operation),
    key("rejected", nullable(STR), lambda adopted: adopted.rejected),
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
    key("system_id", STR, lambda machine: machine.system_id),
    key("hostname", STR, lambda machine: machine.hostname),
    key("hardware_uuid", AS_TEXT, lambda machine: machine.uuid),
    key("host", STR, lambda machine: machine.host_name),
    key("host_type", STR, lambda machine: machine.driver),
    key("host_address", STR, lambda machine: machine.address),
    key("host_project", STR, lambda machine: machine.project),
    key("adopted", BOOL, lambda machine: machine.adopted),
    key("pool", nullable(STR), lambda machine: machine.pool),
    key("zone", nullable(STR), lambda machine: machine.zone),
    key("owner", nullable(STR), lambda machine: machine.owner),
    key("architecture", STR, lambda machine: full_architecture(machine.architecture)),
    key("cpu_count", INT, lambda machine: machine.cores),
    key("memory", INT, lambda machine: machine.memory_mib),
    key("tag_names", array(STR), lambda machine: machine.tags),
    key("disks", array(_DISK), lambda machine: machine.disks),
    key("interfaces", array(_INTERFACE), lambda machine: machine.nics),
    key("detached_at", TIMESTAMP, lambda machine: machine.detached_at),
    key("lost", BOOL, lambda machine: machine.lost),
)
FORGOTTEN_MACHINE_JSON: Serializer[ForgottenMachine] = serializer(
    "ForgottenMachine",
    key("system_id", STR, lambda machine: machine.system_id),
    key("hostname", STR, lambda machine: machine.hostname),
    key("host", STR, lambda machine: machine.host_name),
    key("guest", STR, lambda machine: machine.guest_name),
    key("virtual_machine", nullable(INT), lambda machine: machine.guest_id),
    key("forgotten_at", TIMESTAMP, lambda machine: machine.forgotten_at),
    key("username", nullable(STR), lambda machine: machine.username),
)
