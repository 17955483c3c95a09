"""Guests that become machines, and machines whose host was removed."""

from __future__ import annotations

from typing import Any

from regiond.api.encoding.hosts import full_architecture
from regiond.api.encoding.operations import encode_operation, moment
from regiond.api.paths import machine_uri
from regiond.machines.model import Adopted, ForgottenMachine


def encode_adopted(adopted: Adopted) -> dict[str, Any]:
    return {
        "guest": adopted.guest_name,
        "system_id": adopted.system_id,
        "hostname": adopted.hostname,
        "resource_uri": None if adopted.system_id is None else machine_uri(adopted.system_id),
        "operation": None if adopted.operation is None else encode_operation(adopted.operation),
        "refused": adopted.refused,
    }


def encode_forgotten(machine: ForgottenMachine) -> dict[str, Any]:
    return {
        "system_id": machine.system_id,
        "hostname": machine.hostname,
        "hardware_uuid": str(machine.uuid),
        "host": machine.host_name,
        "host_type": machine.driver,
        "host_address": machine.address,
        "host_project": machine.project,
        "adopted": machine.adopted,
        "pool": machine.pool,
        "zone": machine.zone,
        "owner": machine.owner,
        "architecture": full_architecture(machine.architecture),
        "cpu_count": machine.cores,
        "memory": machine.memory_mib,
        "tag_names": list(machine.tags),
        "disks": [
            {"volume": disk["volume"], "storage_pool": disk["pool_name"], "size": disk["size_bytes"]}
            for disk in machine.disks
        ],
        "interfaces": [{"name": nic["name"], "mac_address": nic["mac_address"]} for nic in machine.nics],
        "forgotten_at": moment(machine.forgotten_at),
    }
