"""Powers a domain on and off, step by step, until libvirt reports the requested state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from common.errors import DriverFailed, HostUnreachable, WrongState
from common.values import Autostart, PowerAction, PowerState
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.inventory.guests import power_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

POLL_EVERY_S = 0.2
START_TRIES = 5
_SUSPENDED_TO_MEMORY = 7


def switch(
    domain: Domain,
    action: PowerAction,
    *,
    grace_s: float,
    closing: threading.Event,
    before_start: Callable[[], None] | None = None,
    xml_once: Callable[[], str | None] | None = None,
    may_go: bool = False,
) -> PowerState:
    """Returns the state after `action`. Idempotent. Calls `before_start` if a domain that is off will start.

    `xml_once` returns the XML for this one start; None: that of the definition.

    `closing` interrupts the wait for a guest that shuts down; then raises HostUnreachable. Raises WrongState for a
    transient domain that would be off then, unless it `may_go`.
    """
    if action is not PowerAction.ON and not may_go:
        _check_persistent(domain)
    if action is PowerAction.FORCE_OFF:
        _force_off(domain)
    elif action in {PowerAction.OFF, PowerAction.CYCLE}:
        _shut_down(domain, grace_s, closing)
    if action in {PowerAction.ON, PowerAction.CYCLE}:
        if before_start is not None and power_of(domain.state()) is PowerState.OFF:
            before_start()
        _start(domain, xml_once)
    return power_of(domain.state())


def starts_with_host(autostart: Autostart, power: PowerState) -> bool:
    """Returns what libvirt's flag is for a guest in this power state."""
    if autostart is Autostart.LAST_STATE:
        return power is not PowerState.OFF
    return autostart is Autostart.ALWAYS


def _check_persistent(domain: Domain) -> None:
    """Raises WrongState for a domain that somebody undefined while it ran: libvirt forgets it when it is off."""
    if not domain.is_persistent():
        name = domain.name
        raise WrongState(
            f"{name} is transient: it was undefined on its host (virsh undefine) while it ran, and libvirt deletes it "
            "when it is powered off. Nothing was changed. Make it persistent on that host: "
            f"virsh dumpxml {name} >{name}.xml; virsh define {name}.xml",
            name=name,
        )


def _start(domain: Domain, xml_once: Callable[[], str | None] | None) -> None:
    state = domain.state()
    try:
        match power_of(state):
            case PowerState.ON:
                return
            case PowerState.PAUSED if state == _SUSPENDED_TO_MEMORY:
                domain.wake_up()
            case PowerState.PAUSED:
                domain.resume()
            case _:
                _start_from_off(domain, None if xml_once is None else xml_once())
    except DriverFailed:
        if power_of(domain.state()) is not PowerState.ON:  # already started by another client
            raise


def _start_from_off(domain: Domain, xml: str | None) -> None:
    """Retries if another process takes the VNC port that libvirt chose before QEMU opens it."""
    for left in reversed(range(START_TRIES)):
        try:
            domain.start() if xml is None else domain.start_as(xml)
        except DriverFailed as error:
            if not left or "address already in use" not in str(error).lower():
                raise _with_saved_memory(domain, error) from error
            log.info("vnc_port_taken", guest=domain.name, reason=str(error), retries_left=left)
        else:
            return


def _with_saved_memory(domain: Domain, error: DriverFailed) -> DriverFailed:
    """Returns the error; of a start from saved memory with what helps: it fails each time as long as that is there."""
    if not domain.has_saved_memory():
        return error
    return DriverFailed(
        f"{error}. The memory of {domain.name} was saved (virsh managedsave), and libvirt starts it from there. "
        "To start it without, which loses what it had in memory but no disk, on that host: "
        f"virsh managedsave-remove {domain.name}",
        name=domain.name,
    )


def _force_off(domain: Domain) -> None:
    if power_of(domain.state()) is PowerState.OFF:
        return
    try:
        domain.destroy()
    except DriverFailed:
        if power_of(domain.state()) is not PowerState.OFF:
            raise


def _shut_down(domain: Domain, grace_s: float, closing: threading.Event) -> None:
    if power_of(domain.state()) is PowerState.ON:
        ends_at = time.monotonic() + grace_s
        _request_shutdown(domain)
        while power_of(domain.state()) is PowerState.ON and time.monotonic() < ends_at:
            if closing.wait(min(POLL_EVERY_S, grace_s)):
                raise HostUnreachable(
                    f"This rack closed the connection while the guest {domain.name} was shutting down."
                )
    _force_off(domain)  # also a paused guest, which cannot shut down


def _request_shutdown(domain: Domain) -> None:
    try:
        domain.shut_down()
    except DriverFailed:
        if power_of(domain.state()) is PowerState.ON:
            raise
