"""JSON of capacities: the same object for hosts, storage pools, clusters and the fleet."""

from __future__ import annotations

from common.capacity import Capacity, ResourceCapacity
from regiond.api.declaration.serializer import INT, STR, Serializer, fields_of, key, mapping, nullable, serializer
from regiond.hosts.model import HostState
from regiond.ledger.model import FleetCapacity, GroupCapacity

RESOURCE_CAPACITY_JSON: Serializer[ResourceCapacity] = serializer(
    "ResourceCapacity", *fields_of(ResourceCapacity, "total claimable claimed elsewhere free")
)
CAPACITY_JSON: Serializer[Capacity] = serializer(
    "Capacity",
    key("cores", RESOURCE_CAPACITY_JSON, lambda capacity: capacity.cores),
    key("memory_mib", RESOURCE_CAPACITY_JSON, lambda capacity: capacity.memory_mib),
    key("storage_bytes", RESOURCE_CAPACITY_JSON, lambda capacity: capacity.storage_bytes),
    key("storage_pools", mapping(RESOURCE_CAPACITY_JSON), lambda capacity: capacity.storage_pools),
    key("pinned_cores", nullable(RESOURCE_CAPACITY_JSON), lambda capacity: capacity.pinned_cores),
    key("huge_pages", mapping(RESOURCE_CAPACITY_JSON), lambda capacity: capacity.huge_pages),
    key("virtual_functions", mapping(RESOURCE_CAPACITY_JSON), lambda capacity: capacity.virtual_functions),
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
)
FLEET_CAPACITY_JSON: Serializer[FleetCapacity] = serializer(
    "FleetCapacity",
    *fields_of(FleetCapacity, "fleet zones pools", fleet=_GROUP_CAPACITY, zones=_GROUP_CAPACITY, pools=_GROUP_CAPACITY),
)
