"""Messages to the service manager."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.process.systemd_notify import ServiceManager
from tests.support.waiting import eventually


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The value of NOTIFY_SOCKET, and the socket of the service manager."""
    name = f"@innkeeper-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1))
        receiver.setblocking(False)
        yield name, receiver


def test_ready_status_and_stopping_are_sent(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    daemon = ServiceManager({"NOTIFY_SOCKET": name})
    daemon.ready("All is\nwell.")
    daemon.status("Busy.")
    daemon.stopping()
    received = [receiver.recv(4096).decode() for _ in range(3)]
    assert received == ["READY=1\nSTATUS=All is well.", "STATUS=Busy.", "STOPPING=1\nSTATUS=Stopping."]


async def test_the_watchdog_is_notified_while_the_event_loop_runs(manager: tuple[str, socket.socket]) -> None:
    name, receiver = manager
    daemon = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    task = asyncio.ensure_future(daemon.keep_alive())
    received: list[bytes] = []

    def three_received() -> bool:
        try:
            received.append(receiver.recv(4096))
        except BlockingIOError:
            return False
        return len(received) >= 3

    await eventually(three_received)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert set(received) == {b"WATCHDOG=1"}


async def test_without_a_watchdog_nothing_is_sent() -> None:
    await ServiceManager({}).keep_alive()
    await ServiceManager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).keep_alive()


def test_a_missing_service_manager_raises_no_error(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "missing")}).ready("Hello.")
    ServiceManager({}).ready("Hello.")
