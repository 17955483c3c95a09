"""JSON of a host's networks, network devices and GPUs; MAAS has no such keys."""

from __future__ import annotations

from common.hardware import HardwareDevice, NetworkDevice, NetworkPort
from common.values import HostNetwork
from regiond.api.declaration.serializer import BOOL, INT, STR, Serializer, array, extended, key, nullable, serializer

# `attach_type` is how a guest's NIC is attached to the network, `type` the hypervisor's own word for the network.
NETWORK_JSON: Serializer[HostNetwork] = serializer(
    "HostNetwork",
    key("name", STR, lambda network: network.name),
    key("type", STR, lambda network: network.type),
    key("attach_type", STR, lambda network: network.kind.value),
    key("attachable", BOOL, lambda network: network.attachable),
    key("active", BOOL, lambda network: network.active),
    key("dhcp", BOOL, lambda network: network.dhcp),
    key("cidrs", array(STR), lambda network: network.cidrs),
    key("vid", nullable(INT), lambda network: network.vid),
)
_PORT: Serializer[NetworkPort] = serializer(
    "NetworkPort",
    key("name", STR, lambda port: port.name),
    key("mac_address", nullable(STR), lambda port: port.mac_address),
    key("link_connected", BOOL, lambda port: port.link),
    key("link_speed", nullable(INT), lambda port: port.speed_mbps),  # Mbit/s
)
GPU_JSON: Serializer[HardwareDevice] = serializer(
    "Gpu",
    key("pci_address", nullable(STR), lambda device: device.pci_address),
    key("usb_address", nullable(STR), lambda device: device.usb_address),
    key("vendor", STR, lambda device: device.vendor),
    key("vendor_id", STR, lambda device: device.vendor_id),
    key("product", STR, lambda device: device.product),
    key("product_id", STR, lambda device: device.product_id),
    key("driver", STR, lambda device: device.driver),
    key("numa_node", nullable(INT), lambda device: device.numa_node),
    key("virtual_functions", INT, lambda device: device.virtual_functions),
    key("virtual_functions_made", INT, lambda device: device.virtual_functions_made),
)
NETWORK_DEVICE_JSON: Serializer[NetworkDevice] = extended(
    "NetworkDevice",
    GPU_JSON,
    lambda device: device,
    key("ports", array(_PORT), lambda device: device.ports),
)
