"""Opens WebSockets of LXD with the pinned TLS context.

pylxd's own clients verify no certificate. So this module uses websockets.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from common.errors import HostUnreachable, NotTrusted
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.connection.shared_tls import SharedTls
from rackd.drivers.lxd.connection.tls import CONNECT_S

PING_EVERY_S = 10.0


class NotRunning(HostUnreachable):
    """LXD answered 500: of an operation, that it has ended."""


class _Stream(ClientConnection):
    """Uses SharedTls, because one thread reads and others write."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(cast("socket.socket", SharedTls(sock)), *arguments, **options)


def connect_websocket(
    client: Client, where: str, query: Mapping[str, str], *, what: str, max_bytes: int, close_s: float = 1.0
) -> ClientConnection:
    """Connects to `/1.0/where`. `what` names, in messages, what LXD sends there; a message has at most `max_bytes`.

    Closing waits at most `close_s` for LXD's answer.

    Raises HostUnreachable, NotRunning, PeerChanged or NotTrusted.
    """
    url = f"wss://{client.address.host_and_port}/1.0/{where}?{urlencode(query)}"
    try:
        return connect(
            url,
            ssl=client.context,
            server_hostname=client.address.host,
            address=(client.address.host, client.address.port),  # also refuses redirects to other servers
            proxy=None,
            open_timeout=CONNECT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=close_s,
            max_size=max_bytes,
            create_connection=_Stream,
            legacy=True,  # leaves the connection open after this function returns
        )
    except InvalidStatus as error:
        if error.response.status_code == 403:
            raise NotTrusted(f"{client.place} does not allow this certificate to read its {what}.") from error
        status = error.response.status_code
        kind = NotRunning if status == 500 else HostUnreachable
        raise kind(f"{client.place} sends no {what}: HTTP status {status}.") from error
    except (WebSocketException, OSError, ssl.SSLError) as error:
        raise client.explain(error) from error
    except ValueError as error:  # a redirect to another server
        raise HostUnreachable(f"{client.place} sends no {what}: {error}.") from error
