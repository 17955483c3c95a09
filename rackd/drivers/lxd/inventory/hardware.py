"""Converts a server's `resources` to network devices and GPUs.

Servers omit what they do not know, older ones more. A value of an unexpected form counts as unknown: it must not fail
the discovery run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.hardware import Gpu, NetworkDevice, NetworkPort

Json = Mapping[str, Any]


def network_devices(resources: Json) -> tuple[NetworkDevice, ...]:
    """Returns the devices by address. Virtual functions are counted at their device, not listed."""
    found = [NetworkDevice(**_device(response), ports=_ports(response)) for response in _devices(resources, "network")]
    return tuple(sorted(found, key=lambda device: (*_sort_key(device), [port.name for port in device.ports])))


def gpus(resources: Json) -> tuple[Gpu, ...]:
    """Returns the GPUs by address. Virtual functions are counted at their GPU, not listed."""
    return tuple(sorted((Gpu(**_device(response)) for response in _devices(resources, "gpu")), key=_sort_key))


def virtual_function_names(resources: Json) -> frozenset[str]:
    """Returns the interfaces that are virtual functions, which LXD moves into guests."""
    return frozenset(
        port.name
        for device in _devices(resources, "network")
        for function in _maps(_map(device, "sriov"), "vfs")
        for port in _ports(function)
    )


def _devices(resources: Json, kind: str) -> list[Json]:
    return _maps(_map(resources, kind), "cards")


def _device(response: Json) -> dict[str, Any]:
    sriov = _map(response, "sriov")
    return {
        "pci_address": _text(response, "pci_address") or None,
        "usb_address": _text(response, "usb_address") or None,
        "vendor": _text(response, "vendor"),
        "vendor_id": _text(response, "vendor_id"),
        "product": _text(response, "product"),
        "product_id": _text(response, "product_id"),
        "driver": _text(response, "driver"),
        "numa_node": _number(response, "numa_node"),
        "virtual_functions": _number(sriov, "maximum_vfs") or 0,
        "virtual_functions_made": _number(sriov, "current_vfs") or 0,
    }


def _ports(response: Json) -> tuple[NetworkPort, ...]:
    """Omits ports without a name."""
    found = [_port(port) for port in _maps(response, "ports") if _text(port, "id")]
    return tuple(sorted(found, key=lambda port: port.name))


def _port(response: Json) -> NetworkPort:
    return NetworkPort(
        name=_text(response, "id"),
        mac_address=_text(response, "address").lower() or None,
        link=response.get("link_detected") is True,
        speed_mbps=_number(response, "link_speed") or None,
    )


def _sort_key(device: NetworkDevice | Gpu) -> tuple[str, str, str, str]:
    return device.pci_address or "~", device.usb_address or "", device.vendor, device.product


def _map(response: Json, key: str) -> Json:
    value = response.get(key)
    return value if isinstance(value, Mapping) else {}


def _maps(response: Json, key: str) -> list[Json]:
    value = response.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(response: Json, key: str) -> str:
    """Removes unprintable characters, such as NUL: PostgreSQL rejects them, and devices report arbitrary text."""
    value = response.get(key)
    return "".join(filter(str.isprintable, value)).strip() if isinstance(value, str) else ""


def _number(response: Json, key: str) -> int | None:
    """Returns None for negative numbers: LXD reports some unknown values as -1."""
    value = response.get(key)
    return value if type(value) is int and value >= 0 else None
