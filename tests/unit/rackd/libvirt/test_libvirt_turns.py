"""Threads take turns on a libvirt connection: its library ends the process if two wait for one that is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rackd.drivers.libvirt.connection.client import Client

MEETING_S = 0.2


@pytest.fixture
def client() -> Iterator[Client]:
    opened = Client.open("test:///default")
    yield opened
    opened.close()


def test_two_threads_never_call_at_once(client: Client) -> None:
    both = threading.Barrier(2)

    def meets_the_other() -> bool:
        try:
            both.wait(MEETING_S)
        except threading.BrokenBarrierError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        met = [threads.submit(client.call, "meet", meets_the_other) for _ in range(2)]
        assert [one.result() for one in met] == [False, False]
