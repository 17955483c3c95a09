"""What a host has besides cores, memory and storage. MAAS tells of it elsewhere or not at all: these keys are ours."""

from __future__ import annotations

from typing import Any

from common.hardware import Card, Gpu, NetworkCard, NetworkPort
from common.values import HostNetwork


def encode_network(network: HostNetwork) -> dict[str, Any]:
    """`attach_type` is how a card is put on it, `type` the hypervisor's word for what it is."""
    return {
        "name": network.name,
        "type": network.type,
        "attach_type": network.kind.value,
        "attachable": network.attachable,
        "active": network.active,
        "dhcp": network.dhcp,
        "cidrs": list(network.cidrs),
        "vid": network.vid,
    }


def encode_network_card(card: NetworkCard) -> dict[str, Any]:
    return {**_card(card), "ports": [_port(port) for port in card.ports]}


def encode_gpu(gpu: Gpu) -> dict[str, Any]:
    return _card(gpu)


def _port(port: NetworkPort) -> dict[str, Any]:
    """`link_speed` in Mbit/s."""
    return {
        "name": port.name,
        "mac_address": port.mac_address,
        "link_connected": port.link,
        "link_speed": port.speed_mbps,
    }


def _card(card: Card) -> dict[str, Any]:
    return {
        "pci_address": card.pci_address,
        "usb_address": card.usb_address,
        "vendor": card.vendor,
        "vendor_id": card.vendor_id,
        "product": card.product,
        "product_id": card.product_id,
        "driver": card.driver,
        "numa_node": card.numa_node,
        "virtual_functions": card.virtual_functions,
        "virtual_functions_made": card.virtual_functions_made,
    }
