"""The console of a simulated guest: a shell that echoes."""

from __future__ import annotations

import queue
from collections.abc import Callable

_HELP = "Whatever you type is echoed. exit ends the console."
_END = b""
_LOOK_EVERY_S = 0.2  # whether the guest still runs
_ERASE = frozenset({8, 127})


class EchoShell:
    """Input to output. Pure, but it remembers the line that is being typed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = ""
        self.ended = False

    @property
    def greeting(self) -> str:
        return f"Simulated console of {self._name}. {_HELP}\r\n{self._prompt}"

    @property
    def _prompt(self) -> str:
        return f"{self._name}$ "

    def type(self, data: bytes) -> str:
        """Returns what a terminal shows for these keys."""
        return "".join(self._key(key) for key in data)

    def _key(self, key: int) -> str:
        if key in _ERASE:
            erased, self._line = bool(self._line), self._line[:-1]
            return "\b \b" if erased else ""
        if key in b"\r\n":
            line, self._line = self._line.strip(), ""
            return f"\r\n{self._answer(line)}{'' if self.ended else self._prompt}"
        if 32 <= key < 127:
            self._line += chr(key)
            return chr(key)
        return ""

    def _answer(self, line: str) -> str:
        if line == "exit":
            self.ended = True
            return "logout\r\n"
        if line == "help":
            return f"{_HELP}\r\n"
        return f"{line}\r\n" if line else ""


class SimulatedConsole:
    """Implements `ConsoleStream`. `runs` is called by the reading thread."""

    def __init__(self, shell: EchoShell, runs: Callable[[], bool]) -> None:
        self._shell = shell
        self._runs = runs
        self._output: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._output.put(shell.greeting.encode())

    def read(self) -> bytes:
        data = None
        while data is None:
            try:
                data = self._output.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if not self._runs():
                    return _END
        if data == _END:
            self._output.put(_END)  # for the next call
        return data

    def write(self, data: bytes) -> None:
        shown = self._shell.type(data).encode()
        if shown:
            self._output.put(shown)
        if self._shell.ended:
            self.close()

    def close(self) -> None:
        self._output.put(_END)
