"""Opens the screen of a guest: its VNC server, or screenshots where libvirt does not pass that on."""

from __future__ import annotations

from common.errors import DriverFailed, Unsupported
from common.values import GuestRef, PowerState
from rackd.drivers.contract import ConsoleStream
from rackd.drivers.driver_errors import required_guest, screen_is_off
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.guests.lookup import marked_domain, tree_of
from rackd.drivers.libvirt.guests.screenshots import ScreenshotDisplay
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element
from rackd.drivers.rfb.screen import PictureScreen


def open_screen(client: Client, guest: GuestRef) -> ConsoleStream:
    """Errors are those of the driver contract."""
    domain = required_guest(marked_domain(client, guest), guest)
    if power_of(domain.state()) is PowerState.OFF:
        raise screen_is_off(guest)
    tree = tree_of(domain)
    number = _vnc(tree)
    if number is not None and client.is_local:
        return domain.screen().open_vnc(number)
    if not _has_video(tree):
        raise _no_screen(guest)
    return _pictures(domain, guest)


def _vnc(tree: Element) -> int | None:
    """Returns which of the domain's displays is VNC."""
    kinds = [graphics.get("type") for graphics in tree.iterfind("devices/graphics")]
    return kinds.index("vnc") if "vnc" in kinds else None


def _has_video(tree: Element) -> bool:
    return any(model.get("type") not in (None, "none") for model in tree.iterfind("devices/video/model"))


def _pictures(domain: Domain, guest: GuestRef) -> PictureScreen:
    display = ScreenshotDisplay(domain.screen())
    try:
        first = display.picture()
    except Unsupported as error:
        raise DriverFailed(f"The hypervisor takes no screenshots of {guest.name}: {error}") from error
    if first is None:
        raise screen_is_off(guest)
    return PictureScreen(guest.name, display, first)


def _no_screen(guest: GuestRef) -> Unsupported:
    return Unsupported(
        f"{guest.name} has no screen: its definition has no video device. Use its serial console, or add one on the "
        f"host while the VM is off: virsh edit {guest.name}, and below <devices> "
        "<graphics type='vnc'><listen type='none'/></graphics> and <video><model type='virtio'/></video>.",
        name=guest.name,
    )
