"""LXD's lifecycle events become GuestChanges, over as many connections as it takes.

pylxd's own event client verifies no certificate, so this is another library, on the same pinned TLS context.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote, urlencode, urlsplit

import structlog
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from common.errors import HostUnreachable, InnkeeperError, NotTrusted
from common.values import GuestChange, GuestEvent, PowerState
from rackd.drivers.lxd.client import Client
from rackd.drivers.lxd.shared_tls import SharedTls
from rackd.drivers.lxd.survey import Place
from rackd.drivers.lxd.tls import CONNECT_S

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
SIGNS_OF_LIFE_S = 10.0
STOP_WAIT_S = 2.0
LONGEST_EVENT_BYTES = 4 * 1024 * 1024

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


def change_of(event: Mapping[str, Any], place: Place) -> GuestChange | None:
    """None for an event that says nothing new of an instance of this host."""
    told = event.get("metadata") or {}
    noun, _, verb = str(told.get("action", "")).partition("-")
    location = str(event.get("location") or "")
    if noun not in {"instance", "virtual-machine"} or (place.member and location not in {"", place.member}):
        return None
    where = urlsplit(str(told.get("source", ""))).path.split("/")
    if len(where) != 4 or (told.get("project") or event.get("project") or place.project) != place.project:
        return None
    name = unquote(where[3])
    if verb in _POWERED:
        return GuestChange(event=GuestEvent.POWER, guest_name=name, power=_POWERED[verb])
    return GuestChange(event=_KINDS[verb], guest_name=name) if verb in _KINDS else None


class _Stream(ClientConnection):
    """It has one thread that reads and others that write, from the request for the events on."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(cast("socket.socket", SharedTls(sock)), *arguments, **options)


def listen(client: Client, place: Place) -> ClientConnection:
    """An open stream of this project's events. HostUnreachable, PeerChanged or NotTrusted."""
    query = urlencode({"type": "lifecycle", "project": place.project})
    url = f"wss://{client.address.place}/1.0/events?{query}"
    try:
        return connect(
            url,
            ssl=client.context,
            server_hostname=client.address.host,
            proxy=None,
            open_timeout=CONNECT_S,
            ping_interval=SIGNS_OF_LIFE_S,
            ping_timeout=SIGNS_OF_LIFE_S,
            close_timeout=1.0,
            max_size=LONGEST_EVENT_BYTES,
            create_connection=_Stream,
            legacy=True,  # a connection that outlives this function
        )
    except InvalidStatus as error:
        if error.response.status_code == 403:
            raise NotTrusted(f"LXD at {client.address.normalised} does not let us listen to its events.") from error
        status = error.response.status_code
        raise HostUnreachable(f"LXD at {client.address.normalised} sends no events: status {status}.") from error
    except (WebSocketException, OSError, ssl.SSLError) as error:
        raise client.explain(error) from error


class Watch:
    """Tells `notify` of changes until stopped. After the stream broke it opens one again and tells RESYNC."""

    def __init__(self, client: Client, place: Place, notify: Callable[[GuestChange], None]) -> None:
        """Raises what `listen` raises; then nothing was started."""
        self._client, self._place, self._notify = client, place, notify
        self._telling = threading.RLock()  # so that nothing is told once `stop` has returned
        self._stopped = threading.Event()
        self._stream = listen(client, place)
        self._keeper = threading.Thread(target=self._keep, name="lxd-watch", daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._stopped.is_set():
            try:
                for message in self._stream:
                    self._heard(message)
            except ConnectionClosed as error:
                log.info("lxd_events_interrupted", reason=str(error))
            if not self._stopped.is_set() and self._reconnected():
                self._tell(GuestChange(event=GuestEvent.RESYNC))

    def _heard(self, message: str | bytes) -> None:
        try:
            change = change_of(json.loads(message), self._place)
        except (ValueError, AttributeError) as error:
            log.warning("lxd_event_not_understood", reason=str(error))
            return
        if change is not None:
            self._tell(change)

    def _tell(self, change: GuestChange) -> None:
        with self._telling:
            if not self._stopped.is_set():
                self._notify(change)

    def _reconnected(self) -> bool:
        """True once events flow again; False when the watch was stopped first."""
        wait_s = FIRST_RETRY_S
        while not self._stopped.wait(wait_s):
            try:
                stream = listen(self._client, self._place)
            except InnkeeperError as error:
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
                log.info("lxd_watch_interrupted", reason=str(error), next_try_s=wait_s)
            else:
                with self._telling:
                    self._stream = stream
                    if not self._stopped.is_set():
                        return True
                stream.close()
        return False

    def stop(self) -> None:
        """Nothing is told once this has returned. Harmless to repeat."""
        with self._telling:
            if self._stopped.is_set():
                return
            self._stopped.set()
            stream = self._stream
        stream.close()
        if threading.current_thread() is not self._keeper:
            self._keeper.join(STOP_WAIT_S)
