"""The settings of guests that Innkeeper shows: how a domain has them, and the methods that change them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from common.boot import StartOrder
from common.errors import Unsupported
from common.guest_facts import GuestSettings
from common.values import GuestRef
from rackd.drivers.driver_errors import checks_answers
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.firmware_xml import has_secure_boot, has_uefi
from rackd.drivers.libvirt.xml import Element


def settings_of(tree: Element) -> GuestSettings:
    return GuestSettings(
        uefi=has_uefi(tree), secure_boot=has_secure_boot(tree), tpm=tree.find("devices/tpm") is not None
    )


@checks_answers
class LibvirtSettings(ABC):
    """A part of the driver: each method that changes a setting."""

    @abstractmethod
    def _marked(self, guest: GuestRef) -> Domain:
        """Returns the machine's domain. Raises NotFound."""

    def set_start_order(self, guest: GuestRef, order: StartOrder) -> StartOrder:
        """Raises Unsupported."""
        self._marked(guest)
        raise Unsupported(
            "libvirt starts the guests of a host in no order that could be chosen. A pause between any two is "
            "auto_start_delay in /etc/libvirt/qemu.conf on that host."
        )
