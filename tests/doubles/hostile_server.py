"""An HTTP server of another process, which answers as long as somebody reads."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HEADERS = OK  # begun, and never ended
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = OK + "\r\n"

_PROGRAM = """
import socket, sys, threading
listener = socket.socket(fileno=int(sys.argv[1]))
head, unit = (part.encode("latin-1") for part in sys.argv[2:4])
unit *= max(1, 65536 // len(unit))
def serve(connection):
    try:
        connection.recv(65536)
        connection.sendall(head)
        while True:
            connection.sendall(unit)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""


@contextmanager
def endless_server(head: str, unit: str) -> Iterator[int]:
    """Sends `head`, and then `unit` again and again, to each connection. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        with subprocess.Popen(  # Python
            [sys.executable, "-c", _PROGRAM, str(number), head, unit], pass_fds=(number,)
        ) as process:
            try:
                yield int(listener.getsockname()[1])
            finally:
                process.kill()
