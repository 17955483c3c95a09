"""The socket to which a service reports that it is ready."""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.pages.systemd.unit import STATES, Unit


class Notified:
    """The socket to which a service reports that it is ready."""

    def __init__(self, unit: Unit) -> None:
        self.address = STATES / f"{unit.name}.notify"
        self.address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._socket.settimeout(0.2)
        self.address.chmod(0o666)

    def __enter__(self) -> Notified:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def until_ready(self, pid: int, deadline_s: float) -> int | None:
        ends_at = time.monotonic() + deadline_s
        while (status := ended(pid)) is None:
            if "READY=1" in self._message().splitlines():
                return None
            if time.monotonic() > ends_at:
                os.kill(pid, signal.SIGKILL)
        return status

    def until_end(self, pid: int) -> int:
        while (status := ended(pid)) is None:
            self._message()
        return status

    def _message(self) -> str:
        try:
            return self._socket.recv(65536).decode()
        except TimeoutError:
            return ""


def ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None
