"""Floods of connections on the ports of a region."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.protocol import Factory, Protocol

from regiond.process.listening import ACCEPTS_PER_TURN, listen
from tests.support.ports import stop_listening
from tests.support.waiting import eventually, settle

LONGEST_BACKLOG = int(Path("/proc/sys/net/core/somaxconn").read_text())  # of this kernel


@define(eq=False)
class Accepting(Factory):
    """Counts the connections that were accepted."""

    port: int = 0
    accepted: int = 0
    sockets: ExitStack = field(factory=ExitStack)

    def buildProtocol(self, addr: Any) -> Protocol:  # noqa: N802  # Twisted's
        self.accepted += 1
        return Protocol()

    def connect(self, number: int) -> None:
        """Connects without a turn of the event loop. Raises TimeoutError if the port has no room for it."""
        for _ in range(number):
            self.sockets.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=0.8))


@pytest.fixture
def accepting() -> Iterator[Accepting]:
    factory = Accepting()
    listening: Any = listen(factory, host="127.0.0.1", port=0)
    factory.port = listening.getHost().port
    yield factory
    factory.sockets.close()
    settle(stop_listening(listening))


async def test_connections_are_accepted_a_few_at_a_time(accepting: Accepting) -> None:
    loop, counts = asyncio.get_running_loop(), [0]

    def count_each_turn() -> None:
        counts.append(accepting.accepted)
        if accepting.accepted < 50:
            loop.call_soon(count_each_turn)

    accepting.connect(50)
    loop.call_soon(count_each_turn)
    await eventually(lambda: accepting.accepted == 50)
    assert max(later - earlier for earlier, later in pairwise(counts)) <= ACCEPTS_PER_TURN


async def test_a_burst_of_connections_finds_room(accepting: Accepting) -> None:
    number = min(700, LONGEST_BACKLOG)
    accepting.connect(number)
    await eventually(lambda: accepting.accepted == number)
