"""Tells the service manager how the daemon is doing: the sd_notify protocol, without its library."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

import structlog

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class ServiceManager:
    """Does nothing where no service manager listens (NOTIFY_SOCKET is not set)."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={_line(status)}")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=Stopping.")

    async def keep_alive(self) -> None:
        """Until cancelled, tell twice per watchdog time that the event loop turns. Returns at once without one."""
        while self._watchdog_s:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), address)
        except OSError as error:
            log.warning("service_manager_not_told", error=str(error), text=text)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """0.0 when the service manager watches nobody, or another process than this one."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() else 0.0


def _line(text: str) -> str:
    return text.replace("\n", " ")
