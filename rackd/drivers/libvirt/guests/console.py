"""Opens the console of a guest."""

from __future__ import annotations

from common.errors import Busy, DriverFailed, Unsupported
from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import guest_is_off, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.console_stream import LibvirtConsole
from rackd.drivers.libvirt.guests.lookup import marked_domain
from rackd.drivers.libvirt.inventory.guests import power_of

_IN_USE = "active console session"
_NO_DEVICE = ("cannot find character device", "cannot find console device")


def open_console(client: Client, guest: GuestRef) -> LibvirtConsole:
    """Errors are those of the driver contract. libvirt lets one have a console at a time."""
    domain = required_guest(marked_domain(client, guest), guest)
    if power_of(domain.state()) is PowerState.OFF:
        raise guest_is_off(guest)
    try:
        return domain.open_console()
    except DriverFailed as error:
        reason = str(error).lower()
        if _IN_USE in reason:
            raise Busy(
                f"The console of {guest.name} is open already. Close it there, or wait until it ends."
            ) from error
        if any(text in reason for text in _NO_DEVICE):
            raise Unsupported(f"{guest.name} has no serial port.") from error
        raise
