"""The columns of lists inside an object, such as the disks of a machine, by their key."""

from __future__ import annotations

from collections.abc import Mapping

from innkeeper.output.columns import COUNT, ESSENTIAL, GB, GIB_OF_BYTES, Column, column, columns
from innkeeper.output.shared_columns import CAPACITY, DISKS, INTERFACES

NESTED_LISTS: Mapping[str, tuple[Column, ...]] = {
    "blockdevice_set": DISKS,
    "physicalblockdevice_set": DISKS,
    "interface_set": (*INTERFACES, column("effective_mtu", "mtu", unit=COUNT, rank=5)),
    "links": columns("mode", "ip_address", "subnet"),
    "networks": columns("name", "type", "attachable", "active", "dhcp", "cidrs"),
    "network_devices": columns("ports", "product", "driver", "pci_address", "numa_node", "virtual_functions"),
    "gpus": columns("product", "vendor", "driver", "pci_address", "numa_node", "virtual_functions"),
    "disks": (column("label"), column("volume"), column("size", unit=GB), column("storage_pool"), column("tags")),
    "copies": (
        column("vm_host.name", "host", rank=ESSENTIAL),
        column("pool", "storage pool"),
        column("size", unit=GIB_OF_BYTES),
        column("state", usual="complete"),
    ),
    "storage_pools": (
        column("name", rank=ESSENTIAL),
        column("type", rank=2),
        column("total", unit=GB, rank=2),
        column("capacity.free", "free", unit=GB, rank=1),
        column("status", rank=1, usual="available"),
        column("default", rank=3, usual=False),
        column("path", rank=4, usual="Unknown"),  # LXD does not say
    ),
    "nics": (
        column("label", rank=2),
        column("name", rank=1),
        column("interface", "attached to", rank=ESSENTIAL),
        column("kind", rank=3),
        column("vid", "vlan tag", rank=2),
    ),
    "problems": (column("subject", rank=ESSENTIAL), column("message", prose=True)),
    "log": (
        column("at", rank=ESSENTIAL),
        column("attempt", rank=3, unit=COUNT),
        column("step", rank=1),
        column("message", prose=True),
        column("details.error", prose=True),
    ),
    "summarized": (column("hosts", rank=ESSENTIAL), column("reason", prose=True)),
    "fitting": (
        column("host", rank=ESSENTIAL),
        column("score"),
        *CAPACITY,
        column("host_id", rank=2),
        column("unmet", prose=True),
        column("notes", prose=True),
    ),
    "affinity_groups": columns("name", "policy", "hard", "violated_by"),
    "rejected": (
        column("host", rank=ESSENTIAL),
        *CAPACITY,
        column("reasons", prose=True),
        column("host_id", rank=2),
    ),
    "tried": (column("host", rank=ESSENTIAL), column("error", prose=True), column("host_id", rank=2)),
}
