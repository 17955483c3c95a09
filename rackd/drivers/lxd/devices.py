"""Cards of a server, from its `resources`. Pure.

Servers leave out what they do not know, older ones more than newer ones. Nothing here is worth losing a discovery:
what has not the expected form counts as not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.hardware import Gpu, NetworkCard, NetworkPort

Json = Mapping[str, Any]


def network_cards(resources: Json) -> tuple[NetworkCard, ...]:
    """By address. Virtual functions are counted at their card and not listed."""
    found = [NetworkCard(**_card(told), ports=_ports(told)) for told in _cards(resources, "network")]
    return tuple(sorted(found, key=lambda card: (*_place(card), [port.name for port in card.ports])))


def gpus(resources: Json) -> tuple[Gpu, ...]:
    """By address. Virtual functions are counted at their GPU and not listed."""
    return tuple(sorted((Gpu(**_card(told)) for told in _cards(resources, "gpu")), key=_place))


def virtual_function_names(resources: Json) -> frozenset[str]:
    """The interfaces that are virtual functions: each may be given to a guest at any time, and is gone then."""
    return frozenset(
        port.name
        for card in _cards(resources, "network")
        for function in _maps(_map(card, "sriov"), "vfs")
        for port in _ports(function)
    )


def _cards(resources: Json, kind: str) -> list[Json]:
    return _maps(_map(resources, kind), "cards")


def _card(told: Json) -> dict[str, Any]:
    sriov = _map(told, "sriov")
    return {
        "pci_address": _text(told, "pci_address") or None,
        "usb_address": _text(told, "usb_address") or None,
        "vendor": _text(told, "vendor"),
        "vendor_id": _text(told, "vendor_id"),
        "product": _text(told, "product"),
        "product_id": _text(told, "product_id"),
        "driver": _text(told, "driver"),
        "numa_node": _number(told, "numa_node"),
        "virtual_functions": _number(sriov, "maximum_vfs") or 0,
        "virtual_functions_made": _number(sriov, "current_vfs") or 0,
    }


def _ports(told: Json) -> tuple[NetworkPort, ...]:
    """Those with a name: nothing can be done with the others."""
    found = [_port(port) for port in _maps(told, "ports") if _text(port, "id")]
    return tuple(sorted(found, key=lambda port: port.name))


def _port(told: Json) -> NetworkPort:
    return NetworkPort(
        name=_text(told, "id"),
        mac_address=_text(told, "address").lower() or None,
        link=told.get("link_detected") is True,
        speed_mbps=_number(told, "link_speed") or None,
    )


def _place(card: NetworkCard | Gpu) -> tuple[str, str, str, str]:
    return card.pci_address or "~", card.usb_address or "", card.vendor, card.product


def _map(told: Json, key: str) -> Json:
    value = told.get(key)
    return value if isinstance(value, Mapping) else {}


def _maps(told: Json, key: str) -> list[Json]:
    value = told.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(told: Json, key: str) -> str:
    """Without signs that no name has: cards say of themselves what they like, and no table takes a NUL."""
    value = told.get(key)
    return "".join(filter(str.isprintable, value)).strip() if isinstance(value, str) else ""


def _number(told: Json, key: str) -> int | None:
    """A whole number that is not negative: LXD says -1 for some things that it does not know."""
    value = told.get(key)
    return value if type(value) is int and value >= 0 else None
