"""Chooses the disk that a domain boots from first."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import structlog

from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import disk_not_found, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions import boot_order
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain, place_of, pool_paths
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import attribute

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def choose(client: Client, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
    """Returns the power state. Idempotent. Raises NotFound without the guest or the disk.

    Defines the persistent domain again, which a running one does not notice.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    tree = definition_of(domain)
    paths = pool_paths(client)
    disks = {place_of(disk, paths): disk for disk in tree.iterfind("devices/disk") if boot_order.is_disk(disk)}
    chosen = disks.get((pool_id, volume))
    if chosen is None:
        raise disk_not_found(domain.name, volume, (place[1] for place in disks if place is not None))
    if boot_order.put_first(tree, chosen):
        client.define(ET.tostring(tree, encoding="unicode"), domain.name)
        log.info("boot_order_changed", guest=domain.name, device=attribute(chosen, "target", "dev"))
    return power_of(domain.state())
