"""The fields of machines and addresses that an inventory is made of: MAAS shows ten times as many. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.maas.source.answers import Row

Shape = Mapping[str, Any]  # of each field that is kept: ALL, or the shape of its object or of each object of its list
ALL: Shape = {}

_NAME: Shape = {"name": ALL}
ADDRESS: Shape = {"ip": ALL, "alloc_type": ALL, "user": ALL, "node_summary": {"hostname": ALL}}
MACHINE: Shape = {
    **dict.fromkeys(
        (
            "system_id", "hostname", "status", "power_state", "power_type", "architecture", "owner", "tag_names",
            "description", "owner_data", "locked", "cpu_count", "memory", "hardware_uuid", "osystem", "distro_series",
            "virtualmachine_id",
        ),
        ALL,
    ),
    "pod": {"id": ALL},
    "domain": _NAME,
    "zone": _NAME,
    "pool": _NAME,
    "interface_set": {
        "name": ALL, "type": ALL, "mac_address": ALL, "enabled": ALL, "tags": ALL, "vlan": {"id": ALL},
        "links": {"mode": ALL, "ip_address": ALL, "subnet": {"cidr": ALL}},
    },
    "blockdevice_set": {"name": ALL, "type": ALL, "size": ALL, "storage_pool": ALL, "serial": ALL, "tags": ALL},
}  # fmt: skip


def kept(of: Row, shape: Shape) -> Row:
    """Returns the object with these fields only. What has another form stays as it is, so that it is named later."""
    return {key: _kept(of[key], inner) for key, inner in shape.items() if key in of}


def _kept(value: Any, shape: Shape) -> Any:
    if shape is ALL:
        return value
    if isinstance(value, dict):
        return kept(value, shape)
    if isinstance(value, list):
        return [kept(one, shape) if isinstance(one, dict) else one for one in value]
    return value
