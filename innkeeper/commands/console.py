"""`machine console NAME`: the terminal of the user becomes that of the machine, until Ctrl-] or the end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from common.errors import InnkeeperError
from innkeeper.arguments import ApiCall, Usage
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.output.text import printable

if TYPE_CHECKING:
    from innkeeper.websocket import WebSocket

COMMAND, SCREEN = "machine console", "machine screen"
ESCAPE = b"\x1d"  # Ctrl-]
_READ_BYTES = 4096


def is_console(wanted: ApiCall) -> bool:
    return wanted.command in (COMMAND, SCREEN)


async def attach(api: Api, wanted: ApiCall, terminal: Terminal) -> None:
    """Raises Usage without a terminal, or for a screen, and the region's error if it does not open the console or has
    no such machine.
    """
    if wanted.command == SCREEN:
        system_id = (await api.get(wanted.path)).json()["system_id"]  # its page has no other name
        page = f"{api.url.partition('/api/')[0]}/ui/vms/{system_id}/screen"
        raise Usage(f"A screen needs a browser: {page}. In a terminal, use the serial port: machine console")
    if not (terminal.stdin.isatty() and terminal.out.isatty()):
        raise Usage(f"{wanted.command} needs a terminal. To read what the machine wrote: machine console-log")
    socket = await api.websocket(wanted.path, op=wanted.action.op)
    terminal.note("Connected. Ctrl-] ends the console.")
    try:
        with _raw(terminal.stdin.fileno()):
            reason = await _relay(socket, terminal)
    finally:
        socket.close()
    terminal.note(f"\n{reason}")


async def _relay(socket: WebSocket, terminal: Terminal) -> str:
    """Returns why it ended."""
    loop, keyboard, screen = asyncio.get_running_loop(), terminal.stdin.fileno(), terminal.out.fileno()
    left = asyncio.Event()

    def typed() -> None:
        data = os.read(keyboard, _READ_BYTES)
        before, escape, _ = data.partition(ESCAPE)
        if before:
            socket.send(before)
        if escape or not data:
            left.set()
            socket.close()

    loop.add_reader(keyboard, typed)
    try:
        reason = "The connection to the region was lost."
        while (message := await socket.receive()) is not None:
            if isinstance(message, str):
                end = json.loads(message)
                reason = printable(str(end.get("ended")))
                if end.get("error") is not None:
                    raise InnkeeperError(reason)
            else:
                await asyncio.to_thread(_write, screen, message)
        return "You closed the console." if left.is_set() else reason
    finally:
        loop.remove_reader(keyboard)


def _write(screen: int, data: bytes) -> None:
    while data:
        data = data[os.write(screen, data) :]


@contextmanager
def _raw(keyboard: int) -> Iterator[None]:
    """Every key goes to the machine, also Ctrl-C."""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        sys.stdout.flush()
