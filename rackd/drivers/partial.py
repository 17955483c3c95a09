"""The part of the contract that a small driver can leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.values import GuestChange, GuestRef, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.driver_errors import required_guest, unsupported_by
from rackd.drivers.usage_counters import HostCounters


def _without(what: str) -> Callable[..., Any]:
    def method(self: Driver, *_: Any, **__: Any) -> Any:
        raise unsupported_by(self.kind, what)

    return method


class PartialDriver(Driver):
    """A driver of another distribution derives from this class: what it leaves out is rejected as unsupported.

    mypy requires the methods that every driver has: those of which this class says nothing. What is rejected here has
    changed nothing on the host. Innkeeper's own drivers derive from `Driver`, so that mypy names what they lack.
    """

    clone = _without("clones")
    set_autostart = _without("setting whether VMs start with them")
    set_start_order = _without("order in which VMs start")
    copy_image = _without("deployments of images")
    remove_image = _without("copies of images")
    deploy = _without("deployments of images")
    undeploy = _without("way to empty the disks of VMs")
    set_addresses = _without("static addresses")
    console_log = _without("logs of serial ports")
    open_console = _without("consoles")
    open_screen = _without("screens")
    adopt = _without("VMs that can be adopted")
    resize = _without("way to change the size of VMs")
    resize_placed = _without("way to change the size of VMs")
    attach_disk = _without("way to add disks")
    grow_disk = _without("disks that grow")
    copy_disk = _without("disks that move")
    use_copy = _without("disks that move")
    begin_read = _without("disks that can be read")
    read_disk = _without("disks that can be read")
    make_bootable = _without("imports")
    attach_nic = _without("way to add NICs")
    change_nic = _without("way to change NICs")
    set_boot_disk = _without("choice of the boot disk")
    set_boot_order = _without("choice of the boot order")
    insert_iso = _without("ISO images")
    eject_iso = _without("ISO images")

    def usage(self) -> HostCounters:
        """Reports nothing: pages show no usage."""
        return HostCounters()

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        """Sends no event: refreshes find all changes."""
        return lambda: None

    def detach_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        """Succeeds without such a disk: so the region undoes an addition that was rejected."""
        found = required_guest(self.find(guest), guest)
        if any((one.pool_id, one.volume) == (pool_id, volume) for one in found.disks):
            raise unsupported_by(self.kind, "way to remove disks")
        return found.power

    def detach_nic(self, guest: GuestRef, mac_address: str) -> PowerState:
        """Succeeds without such a NIC, as `detach_disk`."""
        found = required_guest(self.find(guest), guest)
        if any(one.mac_address.lower() == mac_address.lower() for one in found.nics):
            raise unsupported_by(self.kind, "way to remove NICs")
        return found.power

    def end_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Does nothing, as `begin_read` made nothing."""

    def close(self) -> None:
        """Does nothing: there is nothing to release."""
