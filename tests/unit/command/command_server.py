"""Runs the command in processes that it forks, which need no time to import Twisted and the rest.

    python -m tests.unit.command.command_server SOCKET

Each connection is one run: the request, then a byte for each signal; the answer is the exit status. The command is
killed when its connection ends, and the server ends with its standard input.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TextIO

import innkeeper
from innkeeper.__main__ import main

STREAMS = 3
REQUEST_S = 30.0
Request = tuple[list[str], str, dict[str, str], list[int]]


def serve(listener: socket.socket) -> Request:
    """Returns only in a process that has to become the command."""
    commands: dict[int, tuple[int, socket.socket]] = {}  # by the file descriptor of the process
    connections: dict[int, int] = {}  # its PID by the file descriptor of its connection
    waiting = select.poll()
    for descriptor in (0, listener.fileno()):
        waiting.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == 0:
                for pid in connections.values():
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif descriptor == listener.fileno() and (accepted := _accepted(listener)):
                connection, request = accepted
                pid = os.fork()
                if pid == 0:
                    return request
                for stream in request[3]:
                    os.close(stream)
                process = os.pidfd_open(pid)
                commands[process] = pid, connection
                connections[connection.fileno()] = pid
                waiting.register(process, select.POLLIN)
                waiting.register(connection, select.POLLIN)
            elif descriptor in commands:
                pid, connection = commands.pop(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if connections.pop(connection.fileno(), None):
                    waiting.unregister(connection)
                waiting.unregister(descriptor)
                os.close(descriptor)
                _answer(connection, status)
            elif descriptor in connections:
                number = os.read(descriptor, 1)
                os.kill(connections[descriptor], number[0] if number else signal.SIGKILL)
                if not number:
                    waiting.unregister(descriptor)
                    del connections[descriptor]


def _accepted(listener: socket.socket) -> tuple[socket.socket, Request] | None:
    connection, _ = listener.accept()
    if request := _received(connection):
        return connection, request
    connection.close()
    return None


def _received(connection: socket.socket) -> Request | None:
    """None if the client was killed, or is too slow."""
    connection.settimeout(REQUEST_S)
    descriptors: list[int] = []
    data = b""
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, 8, STREAMS)
        size = int.from_bytes(head, "little")
        while chunk := connection.recv(size - len(data)):
            data += chunk
    except OSError:
        size = -1
    if not data or len(data) != size:
        for stream in descriptors:
            os.close(stream)
        return None
    connection.settimeout(None)
    words, folder, environment = marshal.loads(data)  # noqa: S302  # written by the client beside this module
    return words, folder, environment, descriptors


def _answer(connection: socket.socket, status: int) -> None:
    with connection:
        try:
            connection.sendall(status.to_bytes(4, "little", signed=True))
        except OSError:
            return  # the client was killed


def become(request: Request) -> None:
    """Gives this process the arguments, folder, environment and streams of the request, and no other open file."""
    words, folder, environment, streams = request
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, 2**31 - 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = words
    sys.stdin = _text(0, sys.stdin.errors)
    sys.stdout = _text(1, sys.stdout.errors)
    sys.stderr = _text(2, sys.stderr.errors)


def _text(descriptor: int, errors: str | None) -> TextIO:
    buffering = 1 if descriptor == 2 else -1  # lines, as the interpreter does
    return open(descriptor, "r" if descriptor == 0 else "w", buffering, encoding="utf-8", errors=errors)


if __name__ == "__main__":
    for module in iter_modules(innkeeper.__path__, "innkeeper."):
        import_module(module.name)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    listening.listen(64)
    print("ready", flush=True)  # noqa: T201  # for the process that started it
    gc.freeze()  # a collection in a fork would copy all memory
    become(serve(listening))
    main()
