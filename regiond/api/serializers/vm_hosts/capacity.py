"""JSON of capacities, equal for hosts, storage pools, clusters and the fleet, and JSON of NUMA nodes."""

from __future__ import annotations

from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.api.declaration.serializer import (
    INT,
    STR,
    Serializer,
    array,
    fields_of,
    key,
    mapping,
    nullable,
    serializer,
)
from regiond.hosts.model import HostState
from regiond.hosts.numa.numa_model import CoreUsage, NetworkDeviceUsage, NumaNodeView, PagesUsage, ServerUsage, Usage
from regiond.ledger.model import FleetCapacity, GroupCapacity

RESOURCE_CAPACITY_JSON: Serializer[ResourceCapacity] = serializer(
    "ResourceCapacity", *fields_of(ResourceCapacity, "total claimable claimed elsewhere free")
)
_RESOURCES = "cores memory_mib storage_bytes storage_pools pinned_cores huge_pages virtual_functions"
CAPACITY_JSON: Serializer[Capacity] = serializer(
    "Capacity",
    *fields_of(Capacity, _RESOURCES, **dict.fromkeys(_RESOURCES.split(), RESOURCE_CAPACITY_JSON)),
)
_GROUP_CAPACITY: Serializer[GroupCapacity] = serializer(
    "GroupCapacity",
    key("name", nullable(STR), lambda group: group.name),
    key("hosts", INT, lambda group: sum(group.states.values())),
    key("states", mapping(INT), lambda group: {**dict.fromkeys(HostState, 0), **group.states}),
    key("servers", INT, lambda group: group.servers),
    key("capacity", CAPACITY_JSON, lambda group: group.capacity),
    key("unreachable_servers", INT, lambda group: group.unreachable_servers),
    key("unreachable_capacity", CAPACITY_JSON, lambda group: group.unreachable),
    key("open_hosts", INT, lambda group: group.open_hosts),
    key("open_capacity", CAPACITY_JSON, lambda group: group.open),
)
FLEET_CAPACITY_JSON: Serializer[FleetCapacity] = serializer(
    "FleetCapacity",
    *fields_of(FleetCapacity, "fleet zones pools", fleet=_GROUP_CAPACITY, zones=_GROUP_CAPACITY, pools=_GROUP_CAPACITY),
)
_BYTES_PER_KIB = 1024
_CORE_IDS = array(INT)

_SHARE: Serializer[Usage] = serializer("NumaShare", *fields_of(Usage, "total used_by_ours used_by_others free"))
_CORES: Serializer[CoreUsage] = serializer(
    "NumaCores", *fields_of(CoreUsage, "total used_by_ours used_by_others free siblings")
)
# `page_size` is in bytes; the other keys count pages.
_HUGE_PAGES: Serializer[PagesUsage] = serializer(
    "NumaHugePages",
    key("page_size", INT, lambda pages: pages.size_kib * _BYTES_PER_KIB),
    *fields_of(PagesUsage, "pages.total pages.used_by_ours pages.used_by_others pages.free"),
)
# Amounts are in MiB. `general` is the memory outside huge pages.
_MEMORY: Serializer[NumaNodeView] = serializer(
    "NumaMemory",
    key("total", INT, lambda node: node.memory_mib),
    key("general", _SHARE, lambda node: node.general_mib),
    key("hugepages", array(_HUGE_PAGES), lambda node: node.huge_pages),
)
_NETWORK_DEVICE: Serializer[NetworkDeviceUsage] = serializer(
    "NumaNetworkDevice",
    *fields_of(NetworkDeviceUsage, "device.pci_address device.product"),
    key("ports", array(STR), lambda share: [port.name for port in share.device.ports]),
    key("virtual_functions", _SHARE, lambda share: share.functions),
)
_SERVER: Serializer[ServerUsage] = serializer(
    "NumaServer",
    *fields_of(ServerUsage, "cores memory=general_mib capacity", cores=_SHARE, memory=_SHARE, capacity=CAPACITY_JSON),
)
NUMA_NODE_JSON: Serializer[NumaNodeView] = serializer(
    "NumaNode",
    *fields_of(NumaNodeView, "node_id cores", cores=_CORES),
    key("memory", _MEMORY, lambda node: node),
    key("network_devices", array(_NETWORK_DEVICE), lambda node: node.network_devices),
    key("virtual_machines", array(INT), lambda node: node.guest_ids),
    key("server", _SERVER, lambda node: node.server),
)
