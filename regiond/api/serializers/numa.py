"""JSON of the NUMA nodes of a host's server; MAAS shows them only in its UI."""

from __future__ import annotations

from regiond.api.declaration.serializer import INT, STR, Serializer, array, key, nullable, serializer
from regiond.api.serializers.capacity import CAPACITY_JSON
from regiond.hosts.model import CoreUsage, NetworkDeviceUsage, NumaNodeView, PagesUsage, ServerUsage, Usage

_BYTES_PER_KIB = 1024
_CORE_IDS = array(INT)

_SHARE: Serializer[Usage] = serializer(
    "NumaShare",
    key("total", INT, lambda share: share.total),
    key("used_by_ours", INT, lambda share: share.used_by_ours),
    key("used_by_others", INT, lambda share: share.used_by_others),
    key("free", INT, lambda share: share.free),
)
_CORES: Serializer[CoreUsage] = serializer(
    "NumaCores",
    key("total", _CORE_IDS, lambda cores: cores.total),
    key("used_by_ours", _CORE_IDS, lambda cores: cores.used_by_ours),
    key("used_by_others", _CORE_IDS, lambda cores: cores.used_by_others),
    key("free", _CORE_IDS, lambda cores: cores.free),
    key("siblings", array(_CORE_IDS), lambda cores: cores.siblings),
)
# `page_size` is in bytes; the other keys count pages.
_HUGE_PAGES: Serializer[PagesUsage] = serializer(
    "NumaHugePages",
    key("page_size", INT, lambda pages: pages.size_kib * _BYTES_PER_KIB),
    key("total", INT, lambda pages: pages.pages.total),
    key("used_by_ours", INT, lambda pages: pages.pages.used_by_ours),
    key("used_by_others", INT, lambda pages: pages.pages.used_by_others),
    key("free", INT, lambda pages: pages.pages.free),
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
    key("pci_address", nullable(STR), lambda share: share.device.pci_address),
    key("product", STR, lambda share: share.device.product),
    key("ports", array(STR), lambda share: [port.name for port in share.device.ports]),
    key("virtual_functions", _SHARE, lambda share: share.functions),
)
_SERVER: Serializer[ServerUsage] = serializer(
    "NumaServer",
    key("cores", _SHARE, lambda server: server.cores),
    key("memory", _SHARE, lambda server: server.general_mib),
    key("capacity", nullable(CAPACITY_JSON), lambda server: server.capacity),
)
NUMA_NODE_JSON: Serializer[NumaNodeView] = serializer(
    "NumaNode",
    key("node_id", INT, lambda node: node.node_id),
    key("cores", _CORES, lambda node: node.cores),
    key("memory", _MEMORY, lambda node: node),
    key("network_devices", array(_NETWORK_DEVICE), lambda node: node.network_devices),
    key("virtual_machines", array(INT), lambda node: node.guest_ids),
    key("server", _SERVER, lambda node: node.server),
)
