"""Ends the reading of a dump, which blocks in a thread, when its caller is cancelled."""

from __future__ import annotations

import subprocess
import threading
from typing import Protocol

from common.errors import Cancelled


class Lines(Protocol):
    """A stream of bytes, read by lines of limited length."""

    def readline(self, limit: int, /) -> bytes: ...


class Stop:
    """One reading: `stop` ends it at its next line, and the program that it waits for at once. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def waits_for(self, process: subprocess.Popen[bytes] | None) -> None:
        """Notes the program, or that there is none any more."""
        with self._lock:
            self._process = process
            if self._is_stopped and process is not None:
                process.kill()

    def checked(self, lines: Lines) -> Lines:
        """The same lines, which raise Cancelled once the reading was stopped."""
        return _Checked(self, lines)

    def check(self) -> None:
        if self._is_stopped:
            raise Cancelled("The reading of the dump was cancelled.")


class _Checked:
    def __init__(self, stop: Stop, lines: Lines) -> None:
        self._check, self._readline = stop.check, lines.readline

    def readline(self, limit: int, /) -> bytes:
        self._check()
        return self._readline(limit)
