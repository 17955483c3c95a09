"""JSON of the NUMA nodes of a host's server; MAAS shows them only in its UI."""

from __future__ import annotations

from regiond.api.declaration.serializer import INT, STR, Serializer, array, fields_of, key, serializer
from regiond.api.serializers.capacity import CAPACITY_JSON
from regiond.hosts.model import CoreUsage, NetworkDeviceUsage, NumaNodeView, PagesUsage, ServerUsage, Usage

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
# In MiB. `general` is the memory outside huge pages.
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
