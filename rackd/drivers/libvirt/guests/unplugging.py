"""Takes a device away from a running domain, whose guest must give it back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from xml.etree import ElementTree as ET

import structlog

from common.errors import DriverFailed, HostUnreachable, Unsupported, WrongState
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.guests.lookup import tree_of
from rackd.drivers.libvirt.guests.power import POLL_EVERY_S
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

UNPLUG_S = 10.0  # of these, libvirt's call itself takes 5 s if the guest does not answer
_REQUESTED = "in the process of unplug"  # by an earlier call, which the guest has not answered


def unplug(
    domain: Domain,
    device: Element,
    has: Callable[[Element], bool],
    *,
    what: str,
    help_text: str,
    closing: threading.Event,
) -> None:
    """Returns once the domain's live XML, by `has`, lacks `device`, or once the domain is off.

    Does not change the persistent XML. Raises WrongState if the guest still has the device after UNPLUG_S: it then
    names `what` was to go, and `help_text` says what helps. `closing` interrupts the wait; raises HostUnreachable.
    """

    def is_gone() -> bool:
        return not domain.is_active() or not has(tree_of(domain))

    ends_at = time.monotonic() + UNPLUG_S
    try:
        domain.detach_live(ET.tostring(device, encoding="unicode"))
    except (DriverFailed, Unsupported) as error:
        if _REQUESTED not in str(error):
            if is_gone():
                return
            raise WrongState(
                f"{domain.name} does not give {what} back: {error} {help_text}", name=domain.name
            ) from error
        log.info("unplug_already_requested", guest=domain.name, device=what)
    while not is_gone():
        if time.monotonic() >= ends_at:
            raise WrongState(
                f"The system in {domain.name} did not give {what} back within {UNPLUG_S:.0f} s. {help_text}",
                name=domain.name,
            )
        if closing.wait(POLL_EVERY_S):
            raise HostUnreachable(f"This rack closed the connection while {domain.name} was to give {what} back.")
