"""Machines with every key that some client decodes. What Innkeeper does not know or do is empty, off or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.drive_names import drive_name
from common.values import DriverType, PowerState
from regiond.api.encoding.groups import DOMAIN_NAME, encode_domain, encode_pool, encode_zone
from regiond.api.encoding.hosts import full_architecture
from regiond.api.encoding.networks import USUAL_MTU, encode_card, encode_link, encode_vlan
from regiond.api.machine_shapes import MACHINE_TESTS
from regiond.api.paths import machine_uri, uri
from regiond.machines.life import TOLD, MachineState
from regiond.machines.model import DiskView, MachineView, NicView

STATUS: Mapping[MachineState, tuple[int, str]] = {state: (told.status, told.name) for state, told in TOLD.items()}
_POWER = {PowerState.ON: "on", PowerState.PAUSED: "on", PowerState.OFF: "off"}
_BY_ID: Mapping[str, str] = {DriverType.LIBVIRT: "virtio-", DriverType.LXD: "scsi-0QEMU_QEMU_HARDDISK_"}
_BLOCK_SIZE = 512
_LINK_MODES = {"dhcp": "dhcp", "static": "static"}
_NO_GATEWAY = {"gateway_ip": None, "link_id": None}
# Operating systems, commissioning and addresses are not ours, so these are as on a machine fresh from MAAS. Answers
# share what is in it: they are written down, and nobody changes them.
_WHAT_WE_DO_NOT_DO: Mapping[str, Any] = {
    "osystem": "",
    "distro_series": "",
    "hwe_kernel": None,
    "min_hwe_kernel": None,
    "disable_ipv4": False,
    "ephemeral_deploy": False,
    "enable_hw_sync": False,
    "is_sync_healthy": False,
    "swap_size": None,
    "address_ttl": None,
    "sync_interval": None,
    "last_sync": None,
    "next_sync": None,
    "current_commissioning_result_id": None,
    "current_installation_result_id": None,
    "current_testing_result_id": None,
    **{f"{test}_status": None for test in MACHINE_TESTS},
    **{f"{test}_status_name": None for test in MACHINE_TESTS},
    "default_gateways": {"ipv4": _NO_GATEWAY, "ipv6": _NO_GATEWAY},
    "bcaches": [],
    "cache_sets": [],
    "raids": [],
    "volume_groups": [],
    "special_filesystems": [],
}


def encode_power(state: str) -> str:
    """One of the words that clients know; a paused guest holds its memory and is on."""
    return next((word for known, word in _POWER.items() if known == state), "unknown")


def encode_machine(machine: MachineView) -> dict[str, Any]:
    return {
        **_identity(machine),
        **_condition(machine),
        **_hardware(machine),
        **_placement(machine),
        **_WHAT_WE_DO_NOT_DO,
    }


def _identity(machine: MachineView) -> dict[str, Any]:
    return {
        "resource_uri": machine_uri(machine.system_id),
        "system_id": machine.system_id,
        "hostname": machine.hostname,
        "fqdn": f"{machine.hostname}.{DOMAIN_NAME}",
        "tag_names": list(machine.tags),
        "owner": machine.owner,
        "owner_data": dict(machine.owner_data),
        "agent_name": machine.agent_name,
        "workload_annotations": {},
        "description": machine.description,
        "node_type": 0,
        "node_type_name": "Machine",
        "domain": encode_domain(),
        "zone": encode_zone(machine.zone),
        "pool": encode_pool(machine.pool),
    }


def _condition(machine: MachineView) -> dict[str, Any]:
    status, status_name = STATUS[machine.state]
    return {
        "status": status,
        "status_name": status_name,
        "status_message": _message(machine),
        "error_description": machine.error_description,
        "status_action": "",
        "power_state": encode_power(machine.power_state),
        "power_type": machine.driver or "manual",
        "locked": False,
        "netboot": True,
    }


def _message(machine: MachineView) -> str:
    said = machine.error_description if machine.state is MachineState.BROKEN else ""
    return said or TOLD[machine.state].message


def _hardware(machine: MachineView) -> dict[str, Any]:
    interfaces = [encode_interface(machine, nic) for nic in machine.nics]
    disks = [encode_block_device(machine, disk) for disk in machine.disks]
    return {
        "architecture": full_architecture(machine.architecture),
        "memory": machine.memory_mib,
        "cpu_count": machine.cores,
        "cpu_speed": None,
        "hardware_info": {},
        "hardware_uuid": str(machine.uuid),
        "bios_boot_method": None,
        "ip_addresses": [str(nic.ip_address) for nic in machine.nics if nic.ip_address is not None],
        "interface_set": interfaces,
        "boot_interface": interfaces[0] if interfaces else None,
        "blockdevice_set": disks,
        "physicalblockdevice_set": disks,
        "virtualblockdevice_set": [],
        "boot_disk": disks[0] if disks else None,
        "storage": sum(disk.size_bytes for disk in machine.disks) / 1_000_000,
        "numanode_set": [],
    }


def _placement(machine: MachineView) -> dict[str, Any]:
    pod = parent = None
    if machine.host_id is not None:
        name = machine.host_name or ""
        pod = {"id": machine.host_id, "name": name, "resource_uri": uri("pods", machine.host_id)}
    if machine.host_system_id is not None:
        parent = {
            "system_id": machine.host_system_id,
            "resource_uri": machine_uri(machine.host_system_id),
            "__incomplete__": True,
        }
    return {"pod": pod, "parent": parent, "virtualmachine_id": machine.guest_id}


def encode_interface(machine: MachineView, nic: NicView) -> dict[str, Any]:
    return {
        "resource_uri": uri("nodes", machine.system_id, "interfaces", nic.id),
        "id": nic.id,
        "name": nic.name,
        "type": "physical",
        "enabled": True,
        "tags": [],
        "vlan": None if nic.vlan is None else encode_vlan(nic.vlan),
        "links": _links(nic),
        "mac_address": nic.mac_address,
        "effective_mtu": USUAL_MTU if nic.vlan is None else nic.vlan.mtu,
        "parents": [],
        "children": [],
        "system_id": machine.system_id,
        **encode_card(link_connected=True, speed_mbps=0),
    }


def _links(nic: NicView) -> list[dict[str, Any]]:
    """How it comes to its address; nothing where nothing is known of the network that it is on."""
    if nic.vlan is None and nic.subnet is None:
        return []
    return [encode_link(nic.id, _LINK_MODES.get(nic.mode, "link_up"), nic.subnet, nic.ip_address)]


def encode_block_device(machine: MachineView, disk: DiskView) -> dict[str, Any]:
    name = drive_name("sd", disk.index)
    return {
        "resource_uri": uri("nodes", machine.system_id, "blockdevices", disk.id),
        "id": disk.id,
        "name": name,
        "path": f"/dev/disk/by-dname/{name}",
        "used_for": "Unused",
        "uuid": None,
        "model": None,
        "id_path": _id_path(machine, disk),
        "serial": disk.serial,
        "tags": list(disk.tags),
        "block_size": _BLOCK_SIZE,
        "used_size": 0,
        "size": disk.size_bytes,
        "available_size": disk.size_bytes,
        "filesystem": None,
        "partitions": [],
        "system_id": machine.system_id,
        "type": "physical",
        "partition_table_type": None,
        "storage_pool": disk.storage_pool_key,
        "firmware_version": None,
        "numa_node": None,
    }


def _id_path(machine: MachineView, disk: DiskView) -> str | None:
    """Where the guest's own udev shows the disk; only known of guests that we made, on libvirt and LXD."""
    prefix = None if machine.adopted or machine.driver is None else _BY_ID.get(machine.driver)
    return None if prefix is None else f"/dev/disk/by-id/{prefix}{disk.serial}"
