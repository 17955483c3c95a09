"""Checks in bounded time that a host accepts TCP connections: libvirt waits as long as TCP tries."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.addresses.libvirt import LibvirtAddress
from common.errors import HostUnreachable

CONNECT_S = 10.0


def require_answer(
    address: LibvirtAddress,
    *,
    within_s: float = CONNECT_S,
    resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo,
) -> None:
    """Raises HostUnreachable if a remote host does not answer in time: its network drops what is sent to it.

    Otherwise libvirt would wait for two minutes, with a lock that every call to the host needs, and would go on waiting
    after the network is back. Every other problem, such as a closed port, is for libvirt to find and to name. All
    addresses of a name, and its resolution, have the time together. If none of them can be used, one that does not
    answer suffices: libvirt would try it too.
    """
    if address.host is None or address.port is None:
        return
    endpoint = f"{address.bracketed_host}:{address.port}"
    ends_at = time.monotonic() + within_s
    found = _resolved(lambda: resolve(address.host, address.port, type=socket.SOCK_STREAM), within_s)
    if found is None:
        raise HostUnreachable(f"Cannot connect to {endpoint}: the name was not resolved within {within_s:g} s.")
    silent = False
    for left in range(len(found), 0, -1):
        family, kind, protocol, _, target = found[-left]
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(max(0.01, (ends_at - time.monotonic()) / left))
                connection.connect(target)
        except TimeoutError:
            silent = True
        except OSError:
            continue
        else:
            return
    if silent:
        raise HostUnreachable(f"Cannot connect to {endpoint}: no answer within {within_s:g} s.")


def _resolved(resolve: Callable[[], Sequence[Any]], within_s: float) -> Sequence[Any] | None:
    """Returns the addresses, none for a name that does not exist; None if no name server answers in time.

    The C library has no deadline: a thread waits for it, and ends when it does.
    """
    results: list[Sequence[Any]] = []

    def work() -> None:
        try:
            results.append(resolve())
        except OSError:
            results.append(())

    thread = threading.Thread(target=work, name="resolve", daemon=True)
    thread.start()
    thread.join(within_s)
    return results[0] if results else None
