"""Interfaces and network cards of a server, asked in calls that do not grow with its guests.

libvirt tells each in a call of its own, and among them are those that it made for guests. These are passed over by
their names; any other that turns out to be neither a port of a card nor a bridge, bond or VLAN is remembered for as
long as the connection lives.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import libvirt
import structlog

from common.errors import DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt import devices
from rackd.drivers.libvirt.handles import Caller
from rackd.drivers.libvirt.interfaces import is_composed

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# Drivers of their own, which a host may lack; where each is a daemon of its own, that may not run.
_NETWORK_CARDS = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET
_IN_SLOTS = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV
_ACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE


class Surveyor:
    """Of one connection."""

    def __init__(self, client: Caller, connection: Any) -> None:
        self._client, self._connection = client, connection
        self._no_ports: set[str] = set()  # node devices
        self._plain: set[str] = set()  # interfaces

    def interfaces(self) -> tuple[tuple[str, bool], ...]:
        """Bridges, bonds and VLANs: definition, and whether it is up. Empty where libvirt has no driver for them."""
        ask = self._connection.listAllInterfaces
        try:
            listed = self._client.call("listing interfaces", ask)
            active = {found.name() for found in self._client.call("listing interfaces", ask, _ACTIVE)}
        except (Unsupported, DriverFailed) as error:
            log.info("interfaces_not_told", reason=str(error))
            return ()
        found = []
        for interface in listed:
            name = interface.name()
            if name in self._plain or devices.is_of_a_guest(name):
                continue
            try:
                xml = self._client.call(f"reading the interface {name}", interface.XMLDesc)
            except (NotFound, DriverFailed) as error:  # mostly one that went meanwhile
                log.info("interface_not_told", name=name, reason=str(error))
                continue
            if is_composed(xml):
                found.append((xml, name in active))
            else:
                self._plain.add(name)
        return tuple(found)

    def devices(self) -> devices.Devices:
        """Interfaces of devices, and those devices in PCI slots. Empty where libvirt has no driver for them."""
        try:
            listed = self._client.call("listing devices", self._connection.listAllDevices, _NETWORK_CARDS | _IN_SLOTS)
        except (Unsupported, DriverFailed) as error:
            log.info("devices_not_told", reason=str(error))
            return devices.NO_DEVICES
        by_name = {device.name(): device for device in listed}
        interfaces: list[str] = []
        cards: dict[str, str] = {}
        for name, device in by_name.items():
            if name.startswith("net_") and name not in self._no_ports and devices.may_be_port(name):
                with suppress(NotFound):
                    self._add(name, device, by_name, interfaces, cards)
        return devices.Devices(interfaces=tuple(interfaces), cards=cards)

    def _add(
        self, name: str, device: Any, by_name: dict[str, Any], interfaces: list[str], cards: dict[str, str]
    ) -> None:
        xml = self._client.call(f"reading {name}", device.XMLDesc)
        card = devices.device_behind(xml)
        if card is None:
            self._no_ports.add(name)
            return
        if card in by_name and card not in cards:
            described = self._client.call(f"reading {card}", by_name[card].XMLDesc)
            if devices.is_function(described):
                self._no_ports.add(name)
                return
            cards[card] = described
        interfaces.append(xml)
