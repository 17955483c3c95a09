"""Real daemons: their log files are joined by ids, and a reload changes what they log without a restart."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.deployment.runner import RACK, REGION
from tests.support.waiting import eventually

ID = "ticket-4711.a"


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's socket: all daemons write to it."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield receiver


@pytest.fixture
def configured(tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    """A deployment whose daemons read an empty settings file, `settings.toml`."""
    (tmp_path / "settings.toml").write_text("")
    made = as_processes(tmp_path, server_folder, settings={"config": str(tmp_path / "settings.toml")})
    yield made
    made.processes.kill_all()


def _lines(deployment: Deployment, daemon: str) -> list[dict[str, Any]]:
    """All lines of the daemon's log; a last one without its end is left out."""
    return [json.loads(line) for line in deployment.processes.log(daemon).read_text().split("\n")[:-1]]


def _named(deployment: Deployment, daemon: str, event: str) -> list[dict[str, Any]]:
    return [line for line in _lines(deployment, daemon) if line["event"] == event]


def _messages(receiver: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return found


async def test_two_log_files_are_joined_and_a_reload_changes_their_level(
    configured: Deployment, notified: socket.socket
) -> None:
    await configured.start()
    assert any(message.startswith("READY=1\nSTATUS=Serving http://") for message in _messages(notified))
    host_id = await configured.add_host(type="simulated", power_address="simulated:sim", name="sim")
    fields = {"cores": "1", "memory": "1024"}
    await configured.send("POST", f"vm-hosts/{host_id}/", op="compose", fields=fields, headers={"X-Request-Id": ID})
    [ended] = [line for line in _named(configured, REGION, "operation_ended") if line.get("request_id") == ID]
    [started] = _named(configured, RACK, "host_call_started")
    ids = {"request_id": ID, "operation": ended["operation"], "attempt": 1}
    assert ids.items() <= started.items()
    for daemon, own in ((REGION, {"program": "regiond"}), (RACK, {"program": "rackd", "rack": RACK})):
        lines = _lines(configured, daemon)
        assert {tuple(line)[:3] for line in lines} == {("timestamp", "level", "event")}
        assert [line for line in lines if not own.items() <= line.items()][1:] == [], "the rack's name is known late"
    assert _named(configured, REGION, "call_ended") == [], "the level is info"

    (configured.runner.folder / "settings.toml").write_text('log_level = "debug"')
    for daemon in (REGION, RACK):
        configured.processes.running[daemon].send_signal(signal.SIGHUP)
        await eventually(lambda daemon=daemon: bool(_named(configured, daemon, "settings_reloaded")))  # type: ignore[misc]
    messages = _messages(notified)
    assert len([one for one in messages if one.startswith("RELOADING=1\nMONOTONIC_USEC=")]) == 2
    assert len([one for one in messages if one.startswith("READY=1\n")]) == 2
    await configured.send("POST", f"vm-hosts/{host_id}/", op="compose", fields=fields)
    calls = {line["call_id"] for line in _named(configured, REGION, "call_ended")}
    assert {line["call_id"] for line in _named(configured, RACK, "host_call_started")[1:]} <= calls
