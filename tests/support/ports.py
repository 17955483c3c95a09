"""Reserves TCP ports for the daemons of tests, which listen later and again after a kill."""

from __future__ import annotations

import itertools
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred

from common.process.deferreds import from_deferred

# Below the kernel's ephemeral ports: no connection gets the port of a killed daemon, or connects to itself.
_FIRST, _COUNT = 20000, 10000
_numbers = itertools.count(os.getpid() * 37)  # test processes start at different ports
_reservations: list[socket.socket] = []


def free_port() -> int:
    """Returns a free port of the loopback address, reserved until this process ends.

    A listener needs SO_REUSEADDR, which most servers set.
    """
    for number in itertools.islice(_numbers, _COUNT):
        port = _FIRST + number % _COUNT
        reservation = socket.socket()
        try:
            reservation.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        # Allows a listener, but no second reservation.
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reservations.append(reservation)
        return port
    raise AssertionError(f"every port from {_FIRST} to {_FIRST + _COUNT - 1} is in use")


async def stop_listening(port: Any) -> None:
    """Closes a port that Twisted's `listenTCP` returned."""
    stopped = port.stopListening()
    if isinstance(stopped, Deferred):
        await from_deferred(stopped)
