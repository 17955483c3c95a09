from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.systemd_notify import ServiceManager
from tests.waiting import eventually


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The name that NOTIFY_SOCKET holds, and the service manager's end."""
    name = f"@innkeeper-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1))
        receiver.setblocking(False)
        yield name, receiver


def test_ready_status_and_stopping_are_told(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    daemon = ServiceManager({"NOTIFY_SOCKET": name})
    daemon.ready("All is\nwell.")
    daemon.status("Busy.")
    daemon.stopping()
    told = [receiver.recv(4096).decode() for _ in range(3)]
    assert told == ["READY=1\nSTATUS=All is well.", "STATUS=Busy.", "STOPPING=1\nSTATUS=Stopping."]


async def test_the_watchdog_is_fed_while_the_loop_turns(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    daemon = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    feeding = asyncio.ensure_future(daemon.keep_alive())
    told: list[bytes] = []

    def fed_thrice() -> bool:
        try:
            told.append(receiver.recv(4096))
        except BlockingIOError:
            return False
        return len(told) >= 3

    await eventually(fed_thrice)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    assert set(told) == {b"WATCHDOG=1"}


async def test_no_watchdog_means_nothing_to_feed() -> None:
    await ServiceManager({}).keep_alive()
    await ServiceManager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).keep_alive()


def test_a_service_manager_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("Hello.")
    ServiceManager({}).ready("Hello.")
