"""Checks in bounded time that a host accepts TCP connections: libvirt waits as long as TCP tries."""

from __future__ import annotations

import socket
from contextlib import suppress

from common.addresses.libvirt import LibvirtAddress
from common.errors import HostUnreachable

CONNECT_S = 10.0


def require_answer(address: LibvirtAddress, *, within_s: float = CONNECT_S) -> None:
    """Raises HostUnreachable if a remote host does not answer in time: its network drops what is sent to it.

    Otherwise libvirt would wait for two minutes, with a lock that every call to the host needs, and would go on waiting
    after the network is back. Every other problem, such as a closed port, is for libvirt to find and to name.
    """
    if address.host is None or address.port is None:
        return
    with suppress(OSError):
        try:
            socket.create_connection((address.host, address.port), timeout=within_s).close()
        except TimeoutError as error:
            raise HostUnreachable(
                f"Cannot connect to {address.bracketed_host}:{address.port}: no answer within {within_s:g} s."
            ) from error
