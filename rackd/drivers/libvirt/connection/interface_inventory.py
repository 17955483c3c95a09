"""Reads a server's network interfaces and PCI network devices.

The number of calls does not grow with the guests. libvirt describes each interface in a separate call and also lists
the interfaces of guests, which the inventory skips by their names. It remembers for the life of the connection every
other interface that turns out to be neither a device port nor a bridge, bond or VLAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import libvirt
import structlog
from attrs import frozen

from common.errors import DriverFailed, NotFound, Unsupported
from rackd.drivers.libvirt.connection.named_object import Connection
from rackd.drivers.libvirt.xml import parse, text_at

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

# Each has its own libvirt driver, which a host may lack, or whose daemon may not run.
_NETWORK_DEVICES = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET
_PCI_DEVICES = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV
_ACTIVE = libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE

_GUEST_PREFIXES = ("vnet", "macvtap", "macvlan", "tap", "veth")  # interfaces of guests and containers
_NETWORK_DEVICE_PREFIX = "net_"
_NO_PARENT = ("", "computer")
COMPOSED_TYPES = ("bridge", "bond", "vlan")


@frozen(kw_only=True)
class NodeDevices:
    """XML of network interfaces, and of the PCI devices they belong to, by device name."""

    interfaces: tuple[str, ...] = ()
    pci_devices: Mapping[str, str]


NO_DEVICES = NodeDevices(pci_devices={})


def is_guest_interface(name: str) -> bool:
    """Recognises the names that libvirt, LXD and container engines give to the interfaces of guests."""
    return name.startswith(_GUEST_PREFIXES)


def may_be_port(device: str) -> bool:
    """Decides by the name of a `net` node device (`net_eth0_52_54_…`)."""
    return not is_guest_interface(device.removeprefix(_NETWORK_DEVICE_PREFIX))


def is_composed(xml: str) -> bool:
    """Returns whether an interface is a bridge, bond or VLAN."""
    return parse(xml, "an interface").get("type") in COMPOSED_TYPES


def parent_device(xml: str) -> str | None:
    """Returns the device to which a network interface belongs; None for a virtual interface."""
    parent = text_at(parse(xml, "a network device"), "parent")
    return parent if parent not in _NO_PARENT else None


def is_virtual_function(pci_device_xml: str) -> bool:
    return parse(pci_device_xml, "a PCI device").find("capability/capability[@type='phys_function']") is not None


class InterfaceInventory:
    """Belongs to one connection."""

    def __init__(self, client: Connection, connection: Any) -> None:
        self._client, self._connection = client, connection
        self._not_ports: set[str] = set()  # node devices
        self._not_composed: set[str] = set()  # interfaces

    def interfaces(self) -> tuple[tuple[str, bool], ...]:
        """Returns bridges, bonds and VLANs: XML, and whether it is up. Empty if libvirt has no interface driver."""
        list_all = self._connection.listAllInterfaces
        try:
            listed = self._client.call("list interfaces", list_all)
            active = {found.name() for found in self._client.call("list interfaces", list_all, _ACTIVE)}
        except (Unsupported, DriverFailed) as error:
            log.info("interfaces_not_listed", reason=str(error))
            return ()
        found = []
        for interface in listed:
            name = interface.name()
            if name in self._not_composed or is_guest_interface(name):
                continue
            try:
                xml = self._client.call(f"read the interface {name}", interface.XMLDesc)
            except (NotFound, DriverFailed) as error:  # usually removed since it was listed
                log.info("interface_not_read", name=name, reason=str(error))
                continue
            if is_composed(xml):
                found.append((xml, name in active))
            else:
                self._not_composed.add(name)
        return tuple(found)

    def devices(self) -> NodeDevices:
        """Returns PCI network devices and their interfaces. Empty if libvirt has no node device driver."""
        flags = _NETWORK_DEVICES | _PCI_DEVICES
        try:
            listed = self._client.call("list devices", self._connection.listAllDevices, flags)
        except (Unsupported, DriverFailed) as error:
            log.info("devices_not_listed", reason=str(error))
            return NO_DEVICES
        by_name = {device.name(): device for device in listed}
        interfaces: list[str] = []
        pci_devices: dict[str, str] = {}
        for name in by_name:
            if name.startswith(_NETWORK_DEVICE_PREFIX) and name not in self._not_ports and may_be_port(name):
                with suppress(NotFound):
                    self._add(name, by_name, interfaces, pci_devices)
        return NodeDevices(interfaces=tuple(interfaces), pci_devices=pci_devices)

    def _add(self, name: str, by_name: Mapping[str, Any], interfaces: list[str], pci_devices: dict[str, str]) -> None:
        xml = self._client.call(f"read {name}", by_name[name].XMLDesc)
        parent = parent_device(xml)
        if parent is None:
            self._not_ports.add(name)
            return
        if parent in by_name and parent not in pci_devices:
            parent_xml = self._client.call(f"read {parent}", by_name[parent].XMLDesc)
            if is_virtual_function(parent_xml):
                self._not_ports.add(name)
                return
            pci_devices[parent] = parent_xml
        interfaces.append(xml)
