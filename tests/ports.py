"""TCP ports for processes of tests, which take them later than they are chosen, and again after they were killed."""

from __future__ import annotations

import itertools
import os
import socket

# Below the ports from which the kernel gives connections theirs: while a killed daemon is away, nobody gets its port,
# and nobody who dials it meets itself.
_FIRST, _COUNT = 20000, 10000
_numbers = itertools.count(os.getpid() * 37)  # tests of several processes start apart from each other
_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of the loopback address where nobody listens. It is nobody else's until this process ends.

    Whoever listens there has to set SO_REUSEADDR, as nearly everybody does.
    """
    for number in itertools.islice(_numbers, _COUNT):
        port = _FIRST + number % _COUNT
        keeper = socket.socket()
        try:
            keeper.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener may come beside it, no other keeper
        _kept.append(keeper)
        return port
    raise AssertionError(f"every port from {_FIRST} to {_FIRST + _COUNT - 1} is taken")
