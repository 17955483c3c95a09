"""Reports the state of the daemon to the service manager by the sd_notify protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping

import structlog

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class ServiceManager:
    """Does nothing without a service manager (NOTIFY_SOCKET is not set)."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Call `ready` at the end of the reload."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000  # systemd 253 and newer require it
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=Reading the settings again.")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=Stopping.")

    async def keep_alive(self) -> None:
        """Reports twice per watchdog interval that the event loop runs. Returns at once if there is no watchdog."""
        while self._watchdog_s:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A leading @ means the zero byte of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), address)
        except OSError as error:
            log.warning("service_manager_not_notified", reason=str(error), text=text)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Returns the watchdog interval in seconds, 0.0 if there is none for this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() else 0.0


def _line(text: str) -> str:
    return text.replace("\n", " ")
