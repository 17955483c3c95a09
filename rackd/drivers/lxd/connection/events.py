"""Converts LXD's lifecycle events to GuestChanges and resumes after a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from common.bodies.bounded_json import loads
from common.errors import InnkeeperError
from common.values import GuestChange, GuestEvent, PowerState
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.connection.websocket import connect_websocket

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 4.0  # pages show the events of a host that is back this much later
STOP_WAIT_S = 2.0
MAX_EVENT_BYTES = 4 * 1024 * 1024

_POWERED = {
    "started": PowerState.ON,
    "restarted": PowerState.ON,
    "resumed": PowerState.ON,
    "stopped": PowerState.OFF,
    "shutdown": PowerState.OFF,
    "paused": PowerState.PAUSED,
}
_KINDS = {
    "created": GuestEvent.APPEARED,
    "deleted": GuestEvent.GONE,
    "renamed": GuestEvent.CHANGED,
    "updated": GuestEvent.CHANGED,
    "restored": GuestEvent.CHANGED,
    "migrated": GuestEvent.CHANGED,
}
_OF_SNAPSHOTS = frozenset({"snapshot-created", "snapshot-deleted", "snapshot-renamed"})


def change_of(event: Mapping[str, Any], scope: Scope) -> GuestChange | None:
    """Returns None for events that do not change an instance in `scope`."""
    metadata = event.get("metadata") or {}
    noun, _, verb = str(metadata.get("action", "")).partition("-")
    location = str(event.get("location") or "")
    if noun not in {"instance", "virtual-machine"} or (scope.member and location not in {"", scope.member}):
        return None
    where = urlsplit(str(metadata.get("source", ""))).path.split("/")
    if len(where) < 4 or (metadata.get("project") or event.get("project") or scope.project) != scope.project:
        return None
    name = unquote(where[3])
    if verb in _OF_SNAPSHOTS:
        return GuestChange(event=GuestEvent.CHANGED, guest_name=name)
    if len(where) != 4:
        return None
    if verb in _POWERED:
        return GuestChange(event=GuestEvent.POWER, guest_name=name, power=_POWERED[verb])
    return GuestChange(event=_KINDS[verb], guest_name=name) if verb in _KINDS else None


def listen(client: Client, scope: Scope) -> ClientConnection:
    """Opens a stream of the project's events. Raises HostUnreachable, PeerChanged or NotTrusted."""
    query = {"type": "lifecycle", "project": scope.project}
    return connect_websocket(client, "events", query, what="events", max_bytes=MAX_EVENT_BYTES)


class Watch:
    """Passes changes to `notify` until stopped.

    Reconnects after a loss and then sends RESYNC; also when the first attempt to reconnect fails, so that the region
    notices an unreachable host.
    """

    def __init__(self, client: Client, scope: Scope, notify: Callable[[GuestChange], None]) -> None:
        """Raises what `listen` raises; then nothing was started."""
        self._client, self._scope, self._notify = client, scope, notify
        self._notify_lock = threading.RLock()  # no notification after `stop` has returned
        self._stopped = threading.Event()
        self._stream = listen(client, scope)
        self._thread = threading.Thread(target=self._run, name="lxd-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                for message in self._stream:
                    self._on_message(message)
            except ConnectionClosed as error:
                log.info("lxd_events_interrupted", reason=str(error))
            if not self._stopped.is_set() and self._reconnected():
                self._send(GuestChange(event=GuestEvent.RESYNC))

    def _on_message(self, message: str | bytes) -> None:
        try:
            text = message.encode() if isinstance(message, str) else message
            change = change_of(loads(text, in_thread=True), self._scope)
        except (ValueError, AttributeError, TypeError) as error:
            log.warning("lxd_event_malformed", reason=str(error))
            return
        if change is not None:
            self._send(change)

    def _send(self, change: GuestChange) -> None:
        with self._notify_lock:
            if not self._stopped.is_set():
                self._notify(change)

    def _reconnected(self) -> bool:
        """Returns True when events flow again, False if the watch was stopped first."""
        wait_s = FIRST_RETRY_S
        while not self._stopped.wait(wait_s):
            try:
                stream = listen(self._client, self._scope)
            except InnkeeperError as error:
                if wait_s == FIRST_RETRY_S:
                    self._send(GuestChange(event=GuestEvent.RESYNC))
                if wait_s < LONGEST_RETRY_S:  # not again for each try of a host that stays away
                    log.info("lxd_watch_interrupted", reason=str(error))
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                with self._notify_lock:
                    self._stream = stream
                    if not self._stopped.is_set():
                        return True
                stream.close()
        return False

    def stop(self) -> None:
        """Sends no notification after it has returned. Idempotent."""
        with self._notify_lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            stream = self._stream
        stream.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_WAIT_S)
