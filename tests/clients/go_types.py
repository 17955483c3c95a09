"""Decodes answers as strictly as Go does into gomaasclient's types: integers reject floats and texts."""

from __future__ import annotations

from typing import Any

STR, INT, FLOAT, BOOL = "string", "int", "float64", "bool"
ZONE = {"id": INT, "name": STR, "description": STR, "resource_uri": STR}
VLAN = {
    "id": INT, "vid": INT, "mtu": INT, "resource_uri": STR, "fabric": STR, "dhcp_on": BOOL, "name": STR,
    "primary_rack": STR, "secondary_rack": STR, "fabric_id": INT, "space": STR,
}  # fmt: skip
SUBNET = {
    "id": INT, "resource_uri": STR, "name": STR, "cidr": STR, "space": STR, "vlan": VLAN, "gateway_ip": STR,
    "dns_servers": [STR], "managed": BOOL, "active_discovery": BOOL, "allow_proxy": BOOL, "allow_dns": BOOL,
    "rdns_mode": INT, "description": STR, "disabled_boot_architectures": [STR],
}  # fmt: skip
INTERFACE = {
    "resource_uri": STR, "id": INT, "name": STR, "type": STR, "enabled": BOOL, "tags": [STR], "vlan": VLAN,
    "links": [{"id": INT, "mode": STR, "subnet": SUBNET, "ip_address": STR}], "mac_address": STR,
    "effective_mtu": INT, "parents": [STR], "children": [STR], "system_id": STR, "link_connected": BOOL,
    "interface_speed": INT, "link_speed": INT, "numa_node": INT, "sriov_max_vf": INT, "vendor": STR, "product": STR,
    "firmware_version": STR,
}  # fmt: skip
BLOCK_DEVICE = {
    "resource_uri": STR, "name": STR, "path": STR, "used_for": STR, "id": INT, "uuid": STR, "model": STR,
    "id_path": STR, "serial": STR, "tags": [STR], "block_size": INT, "used_size": INT, "size": INT,
    "available_size": INT, "system_id": STR, "type": STR, "partition_table_type": STR, "storage_pool": STR,
    "numa_node": INT,
}  # fmt: skip
MACHINE = {
    "resource_uri": STR, "system_id": STR, "hostname": STR, "fqdn": STR, "tag_names": [STR], "osystem": STR,
    "distro_series": STR, "architecture": STR, "memory": INT, "cpu_count": INT, "ip_addresses": [STR],
    "power_state": STR, "status_name": STR, "status_message": STR, "status_action": STR, "status": INT,
    "node_type": INT, "boot_interface": INTERFACE, "interface_set": [INTERFACE], "zone": ZONE, "pool": ZONE,
    "domain": {"id": INT, "name": STR, "authoritative": BOOL, "ttl": INT, "is_default": BOOL},
    "blockdevice_set": [BLOCK_DEVICE], "physicalblockdevice_set": [BLOCK_DEVICE], "boot_disk": BLOCK_DEVICE,
    "owner": STR,
    "power_type": STR, "hwe_kernel": STR, "min_hwe_kernel": STR, "locked": BOOL, "netboot": BOOL,
    "disable_ipv4": BOOL, "pod": {"id": INT, "name": STR, "resource_uri": STR}, "storage": FLOAT, "cpu_speed": INT,
    "swap_size": INT, "address_ttl": INT, "description": STR, "hardware_uuid": STR,
    "default_gateways": {
        "ipv4": {"gateway_ip": STR, "link_id": INT}, "ipv6": {"gateway_ip": STR, "link_id": INT},
    },
}  # fmt: skip
SERVICE = {"name": STR, "status": STR, "status_info": STR}
CONTROLLER = {**MACHINE, "version": STR, "service_set": [SERVICE]}
DEVICE = {
    "system_id": STR, "hostname": STR, "description": STR, "domain": ZONE, "fqdn": STR, "owner": STR, "parent": STR,
    "tag_names": [STR], "address_ttl": INT, "ip_addresses": [STR], "interface_set": [INTERFACE], "zone": ZONE,
    "node_type": INT, "node_type_name": STR, "resource_uri": STR,
}  # fmt: skip
FABRIC = {"id": INT, "name": STR, "class_type": STR, "resource_uri": STR, "vlans": [VLAN]}
BOOT_RESOURCE = {
    "type": STR, "name": STR, "architecture": STR, "base_image": STR, "resource_uri": STR, "last_deployed": STR,
    "subarches": STR, "id": INT,
}  # fmt: skip
_AMOUNTS = {"cores": INT, "memory": INT, "local_storage": INT}
VM_HOST = {
    "id": INT, "name": STR, "type": STR, "tags": [STR], "architectures": [STR], "capabilities": [STR], "zone": ZONE,
    "pool": ZONE, "cpu_over_commit_ratio": FLOAT, "memory_over_commit_ratio": FLOAT, "default_macvlan_mode": STR,
    "host": {"system_id": STR, "__incomplete__": BOOL}, "total": _AMOUNTS, "used": _AMOUNTS, "available": _AMOUNTS,
    "storage_pools": [
        {"id": STR, "name": STR, "type": STR, "path": STR, "total": INT, "used": INT, "available": INT,
         "default": BOOL},
    ],
    "version": STR, "resource_uri": STR,
}  # fmt: skip
DOMAIN = {
    "id": INT, "name": STR, "authoritative": BOOL, "ttl": INT, "is_default": BOOL, "resource_record_count": INT,
    "resource_uri": STR,
}  # fmt: skip
DNS_RESOURCE = {
    "id": INT, "fqdn": STR, "address_ttl": INT, "ip_addresses": [{"ip": STR}], "resource_records": [STR],
    "resource_uri": STR,
}  # fmt: skip
IP_RANGE = {
    "id": INT, "type": STR, "start_ip": STR, "end_ip": STR, "comment": STR, "resource_uri": STR, "subnet": SUBNET,
    "user": {"username": STR, "email": STR},
}  # fmt: skip
TAG = {"resource_uri": STR, "name": STR, "comment": STR, "definition": STR, "kernel_opts": STR}


def decoded(value: Any, shape: Any, where: str = "") -> Any:
    """Returns the value; null and a missing key are permitted. Raises AssertionError where Go rejects it."""
    if value is None:
        return None
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        for name, inner in shape.items():
            decoded(value.get(name), inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for place, one in enumerate(value):
            decoded(one, shape[0], f"{where}[{place}]")
    else:
        assert _fits(value, shape), f"{where}: Go cannot decode {value!r} into {shape}"
    return value


def _fits(value: object, kind: str) -> bool:
    if kind == BOOL:
        return isinstance(value, bool)
    if kind == STR:
        return isinstance(value, str)
    return isinstance(value, int if kind == INT else (int, float)) and not isinstance(value, bool)
