"""Gives running domains devices, and takes them away.

A domain loses a device only if its system gives it back: QEMU asks the guest, and nothing withdraws the question.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from xml.etree import ElementTree as ET

from common.errors import DriverFailed, HostUnreachable, Unsupported, WrongState
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.guests.lookup import tree_of
from rackd.drivers.libvirt.guests.power import POLL_EVERY_S
from rackd.drivers.libvirt.xml import Element

UNPLUG_S = 10.0  # libvirt itself waits for 5 of them
_ASKED = "in the process of unplug"  # QEMU has asked the guest before

Find = Callable[[Element], Element | None]


def live_of(domain: Domain) -> Element | None:
    """Returns the XML of the running domain; None if it is off."""
    return tree_of(domain) if domain.is_active() else None


def check_next_start_is_boot(domain: Domain, what: str) -> None:
    """Raises WrongState if the next start restores the domain with what it had, after virsh managedsave.

    Two guests could then write to a volume, or have an address, that one of them has lost, or it could have a size
    that nobody counts. `what` is `disks`, `NICs` or `size`.
    """
    if domain.has_saved_memory():
        raise WrongState(
            f"The memory of {domain.name} was saved with virsh managedsave, and its next start restores it with the "
            f"{what} that it had. Start it first, or discard the memory: virsh managedsave-remove.",
            name=domain.name,
        )


def plug(domain: Domain, device: Element, what: str, *, persistent: bool) -> None:
    """Gives a running domain a device, and with `persistent` its definition too. Raises WrongState if QEMU refuses."""
    try:
        domain.attach_live(ET.tostring(device, encoding="unicode"), persistent=persistent)
    except (DriverFailed, Unsupported) as error:
        raise WrongState(
            f"{domain.name} does not take {what} while it runs: {error}. It can be attached while {domain.name} is "
            "off.",
            name=domain.name,
        ) from error


def unplug(domain: Domain, find: Find, what: str, advice: str, closing: threading.Event) -> bool:
    """Takes the device that `find` returns from a running domain; returns whether it had it.

    Raises WrongState, with `advice`, if the guest keeps it. `closing` interrupts the wait for the guest.
    """
    ends_at = time.monotonic() + UNPLUG_S
    device = _find(domain, find)
    if device is None:
        return False
    try:
        domain.detach_live(ET.tostring(device, encoding="unicode"))
    except (DriverFailed, Unsupported) as error:
        if _ASKED not in str(error).lower() and _find(domain, find) is not None:
            raise _kept(domain, what, f": {error}", advice) from error
    while _find(domain, find) is not None:
        if time.monotonic() >= ends_at:
            raise _kept(domain, what, f" within {UNPLUG_S:.0f} s", advice)
        if closing.wait(POLL_EVERY_S):
            raise HostUnreachable(f"This rack closed the connection while {domain.name} gave back {what}.")
    return True


def _find(domain: Domain, find: Find) -> Element | None:
    live = live_of(domain)
    return None if live is None else find(live)


def _kept(domain: Domain, what: str, why: str, advice: str) -> WrongState:
    return WrongState(f"{domain.name} did not give back {what}{why}. {advice}", name=domain.name)
