"""Converts libvirt's lifecycle events to GuestChanges and resumes after a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from common.errors import InnkeeperError
from common.values import GuestChange, GuestEvent, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.session import Session

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 4.0  # pages show the events of a host that is back this much later
STOP_WAIT_S = 1.0

_POWERED = {
    2: PowerState.ON,  # started
    3: PowerState.PAUSED,
    4: PowerState.ON,  # resumed
    5: PowerState.OFF,
    7: PowerState.PAUSED,  # suspended to memory by the guest
}
_DEFINED, _UNDEFINED, _CRASHED = 0, 1, 8
_NEW = 0  # detail of _DEFINED


def change_of(name: str, uuid: str, event: int, detail: int) -> GuestChange | None:
    """Returns None for events without news, such as a guest that begins to shut down."""
    if event in _POWERED:
        return GuestChange(event=GuestEvent.POWER, guest_name=name, guest_id=uuid, power=_POWERED[event])
    kinds = {_DEFINED: GuestEvent.APPEARED if detail == _NEW else GuestEvent.CHANGED}
    kinds |= {_UNDEFINED: GuestEvent.GONE, _CRASHED: GuestEvent.CHANGED}
    kind = kinds.get(event)
    return None if kind is None else GuestChange(event=kind, guest_name=name, guest_id=uuid)


class Watch:
    """Passes changes to `notify` until stopped.

    Reconnects after a loss and then sends RESYNC; also when the first attempt to reconnect fails, so that the region
    notices an unreachable host.
    """

    def __init__(self, session: Session, notify: Callable[[GuestChange], None]) -> None:
        """Raises what opening the connection raises; then nothing was started."""
        self._session, self._notify = session, notify
        self._notify_lock = threading.RLock()  # no notification after `stop` has returned
        self._stopped = threading.Event()
        self._lost = threading.Event()
        self._unregister = self._register(session.client())
        self._remove_listener = session.when_lost(self._lost.set)
        self._thread = threading.Thread(target=self._run, name="libvirt-watch", daemon=True)
        self._thread.start()

    def _register(self, client: Client) -> Callable[[], None]:
        return client.on_event(self._on_event)

    def _on_event(self, name: str, uuid: str, event: int, detail: int) -> None:
        change = change_of(name, uuid, event, detail)
        if change is not None:
            self._send(change)

    def _send(self, change: GuestChange) -> None:
        with self._notify_lock:
            if not self._stopped.is_set():
                self._notify(change)

    def _run(self) -> None:
        while True:
            self._lost.wait()
            self._lost.clear()
            if self._stopped.is_set() or not self._reconnected():
                return

    def _reconnected(self) -> bool:
        """Returns True when events flow again, False if the watch was stopped first."""
        wait_s = FIRST_RETRY_S
        while not self._session.closing.is_set() and not self._stopped.is_set():
            try:
                self._unregister = self._register(self._session.client())
            except InnkeeperError as error:
                if wait_s < LONGEST_RETRY_S:  # not again for each try of a host that stays away
                    log.info("libvirt_watch_interrupted", reason=str(error))
                if wait_s == FIRST_RETRY_S:
                    self._send(GuestChange(event=GuestEvent.RESYNC))
                self._stopped.wait(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                self._send(GuestChange(event=GuestEvent.RESYNC))
                return True
        return False

    def stop(self) -> None:
        """Sends no notification after it has returned. Idempotent."""
        if self._stopped.is_set():
            return
        with self._notify_lock:
            self._stopped.set()
        self._remove_listener()
        self._lost.set()
        self._unregister()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_WAIT_S)
