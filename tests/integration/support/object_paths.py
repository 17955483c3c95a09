"""The parameters with which a path leads to an object of a pool, or to one that all pools share."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration.endpoint import Resource
from tests.integration.support.two_pools import Contents

# What the first part of a path leads to. Objects that are in no resource pool are the same for everybody.
IN_POOLS = {
    "vm-hosts", "pods", "virtual-machines", "vm-clusters", "machines", "nodes", "operations", "resourcepool", "quotas",
    "devices", "kept-disks",
}  # fmt: skip
SHARED = {
    "zones": {"name": "default"},
    "tags": {"name": "pod-console-logging"},
    "boot-sources": {"boot_source_id": "1"},
    "domains": {"id": "0"},
    "dnsresources": {"id": "1"},
    "fabrics": {"id": "0", "fabric_id": "0", "vid": "0"},
    "vlans": {"id": "5001"},
    "subnets": {"id": "1"},
    "spaces": {"id": "1"},
    "ipranges": {"id": "1"},
    "racks": {"id": "rack"},
    "rackcontrollers": {"system_id": "rack"},
    "regioncontrollers": {"system_id": "none"},
    "users": {"username": "admin"},
    "account": {"id": "1", "list": "vms"},
    "files": {"filename": "none"},
    "exports": {"id": "1"},
    "rpc-clients": {"name": "none"},
    "discrepancies": {"id": "1"},
    "boot-resources": {"id": "1000", "file_id": "1000"},
    "vmhost-certificate": {"name": "none"},
    "maas-servers": {"name": "none"},
    "maas-imports": {"id": "1"},
    "webhook": {"id": "x" * 32, "action": "on"},
    "report": {"id": "999999", "secret": "x" * 43},
}


def path_to(resource: Resource, one: Contents) -> Mapping[str, str]:
    """Raises KeyError for a new kind of object: add it to IN_POOLS and here, or to SHARED."""
    first = resource.path.split("/")[0]
    if not resource.params:
        return {}
    if first in SHARED:
        return {name: SHARED[first][name] for name in resource.params}
    ids: dict[str, str | int] = {
        "vm-hosts": one.host_id, "pods": one.host_id, "vm-clusters": one.cluster_id, "operations": one.operation_id,
        "virtual-machines": one.guest_id, "resourcepool": one.pool_id, "quotas": one.quota_id,
        "kept-disks": one.kept_disk_id,
    }  # fmt: skip
    known = {"id": ids.get(first, ""), "system_id": one.device_system_id if first == "devices" else one.system_id}
    if first == "nodes":
        known["id"] = one.nic_id if "interfaces" in resource.path else one.disk_id
        known["device_id"] = one.disk_id
    return {name: str(known[name]) for name in resource.params}
