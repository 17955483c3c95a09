"""Changes the order in which a domain tries its devices: in its definition, or for one start."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import structlog

from common.boot import BootOnce, BootOrder, BootOrders, missing_text
from common.errors import Unsupported, WrongState
from common.values import PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions import boot_order
from rackd.drivers.libvirt.definitions.metadata import set_booted_once
from rackd.drivers.libvirt.guests.lookup import definition_of
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element
from rackd.drivers.start_order import before_boot

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def set_order(client: Client, domain: Domain, order: BootOrder, *, check_only: bool) -> BootOrders:
    """Returns the order of the next start. Raises as the driver contract says.

    Defines the persistent domain again, which a running one does not notice.
    """
    tree = definition_of(domain)
    _check(tree, domain.name, order)
    if not check_only and boot_order.put_kinds_first(tree, order):
        client.define(ET.tostring(tree, encoding="unicode"), domain.name)
        log.info("boot_order_changed", guest=domain.name, order=order)
    return BootOrders(order=boot_order.kinds(tree), runs=power_of(domain.state()) is not PowerState.OFF)


def xml_once(domain: Domain, once: BootOnce) -> str | None:
    """Returns the XML with which the domain boots in this order; None if it cannot.

    The definition is not touched, so that nothing has to be restored: the next start has the order of before.
    """
    with before_boot(domain.name):
        if domain.has_saved_memory():
            raise WrongState(f"The next start of {domain.name} restores its saved memory, and does not boot.")
        tree = definition_of(domain)
        _check(tree, domain.name, once.order)
        boot_order.put_kinds_first(tree, once.order)
        set_booted_once(tree, once.key)
        return ET.tostring(tree, encoding="unicode")
    return None


def _check(tree: Element, name: str, order: BootOrder) -> None:
    if not boot_order.boots_from_devices(tree):
        raise Unsupported(
            f"{name} starts with a kernel or a boot loader of its host, by its definition: it boots from no device."
        )
    if missing := boot_order.missing(tree, order):
        raise WrongState(missing_text(name, missing), name=name)
