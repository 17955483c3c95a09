"""A reload applies the settings that can change, and says which need a restart."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from structlog.testing import capture_logs

from common.process.settings import load, reloadable, setting
from common.process.settings_reload import SettingsReload
from common.process.systemd_notify import ServiceManager
from rackd.settings import RackSettings
from regiond.process.settings import RegionSettings


@frozen(kw_only=True)
class Example:
    port: int = setting(1, "The port.")
    rate: int = setting(5, "The rate.", at_least=1, reload=True)
    level: str = setting("info", "The level.", choices=("debug", "info"), reload=True)


@frozen
class Reloaded:
    file: Path
    messages: socket.socket
    reload: SettingsReload[Example]
    applied: list[tuple[Example, frozenset[str]]]

    def with_file(self, text: str) -> tuple[list[str], list[str]]:
        """Reloads with this file. Returns the log's events and the messages to the service manager."""
        self.file.write_text(text)
        with capture_logs() as lines:
            self.reload.reload()
        received = []
        while True:
            try:
                received.append(self.messages.recv(4096).decode())
            except BlockingIOError:
                return [line["event"] for line in lines], received


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Reloaded]:
    file, applied = tmp_path / "settings.toml", []

    def apply(settings: Example, changed: frozenset[str]) -> None:
        applied.append((settings, changed))

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
        messages.bind(str(tmp_path / "notify"))
        messages.setblocking(False)
        yield Reloaded(
            file,
            messages,
            SettingsReload(
                Example(),
                read=lambda: load(Example, file=file, environment={}),
                apply=apply,
                manager=ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")}),
                status=lambda: "Serving.",
            ),
            applied,
        )


def test_what_can_change_is_applied_and_reported(daemon: Reloaded) -> None:
    events, (reloading, ready) = daemon.with_file("rate = 7")
    assert daemon.applied == [(Example(rate=7), frozenset({"rate"}))]
    assert events == ["settings_reloaded"]
    first, monotonic, _ = reloading.splitlines()
    assert first == "RELOADING=1"
    assert int(monotonic.removeprefix("MONOTONIC_USEC=")) > 0
    assert ready == "READY=1\nSTATUS=Serving."


def test_what_needs_a_restart_is_named_until_it_is_changed_back(daemon: Reloaded) -> None:
    events, (_, ready) = daemon.with_file('port = 2\nlevel = "debug"')
    assert events == ["settings_reloaded", "restart_needed"]
    assert daemon.applied[-1] == (Example(level="debug"), frozenset({"level"})), "the port in effect is the old one"
    assert ready == "READY=1\nSTATUS=Serving. Restart to apply: port."
    assert daemon.with_file('port = 2\nlevel = "debug"')[0] == ["settings_reloaded", "restart_needed"]
    assert daemon.applied[-1][1] == frozenset(), "the level has not changed again"
    events, (_, ready) = daemon.with_file('level = "debug"')
    assert (events, ready) == (["settings_reloaded"], "READY=1\nSTATUS=Serving.")


@pytest.mark.parametrize("text", ["rate = 0", "port = ", "unknown = 1"])
def test_settings_with_a_mistake_change_nothing(daemon: Reloaded, text: str) -> None:
    events, (reloading, ready) = daemon.with_file(text)
    assert (events, daemon.applied) == (["settings_rejected"], [])
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ready == "READY=1\nSTATUS=Serving. The settings have a mistake and were not read again: see the log."
    assert daemon.with_file("rate = 7")[1][1] == "READY=1\nSTATUS=Serving."


def test_without_a_service_manager_a_reload_works_too(tmp_path: Path) -> None:
    applied: list[frozenset[str]] = []
    reload = SettingsReload(
        Example(),
        read=lambda: Example(rate=6),
        apply=lambda _, changed: applied.append(changed),
        manager=ServiceManager({"HOME": os.fspath(tmp_path)}),
        status=lambda: "Serving.",
    )
    reload.reload()
    assert applied == [frozenset({"rate"})]


def test_the_settings_of_both_daemons_that_can_change_are_known() -> None:
    assert reloadable(RegionSettings) == {
        "log_level",
        "requests_per_s",
        "expensive_requests_per_s",
        "anonymous_requests_per_s",
        "rate_limit_exempt",
        "password_min_length",
        "keep_operations_days",
        "keep_events_days",
        "keep_audit_days",
        "keep_idempotency_keys_days",
    }
    assert reloadable(RackSettings) == {"log_level"}
