"""JSON of a host's networks, network devices and GPUs; MAAS has no such keys."""

from __future__ import annotations

from common.hardware import HardwareDevice, NetworkDevice, NetworkPort
from common.values import HostNetwork
from regiond.api.declaration.serializer import (
    AS_TEXT,
    INT,
    Serializer,
    array,
    extended,
    fields_of,
    key,
    nullable,
    serializer,
)

# `attach_type` is how a guest's NIC is attached to the network, `type` the hypervisor's own word for the network.
NETWORK_JSON: Serializer[HostNetwork] = serializer(
    "HostNetwork",
    *fields_of(HostNetwork, "name type attach_type=kind attachable active dhcp cidrs vid", attach_type=AS_TEXT),
)
_PORT: Serializer[NetworkPort] = serializer(
    "NetworkPort",
    *fields_of(NetworkPort, "name mac_address link_connected=link"),
    key("link_speed", nullable(INT), lambda port: port.speed_mbps),  # Mbit/s
)
GPU_JSON: Serializer[HardwareDevice] = serializer(
    "Gpu",
    *fields_of(
        HardwareDevice,
        "pci_address usb_address vendor vendor_id product product_id driver numa_node virtual_functions",
        "virtual_functions_made",
    ),
)
NETWORK_DEVICE_JSON: Serializer[NetworkDevice] = extended(
    "NetworkDevice",
    GPU_JSON,
    lambda device: device,
    key("ports", array(_PORT), lambda device: device.ports),
)
