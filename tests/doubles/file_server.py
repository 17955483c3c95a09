"""A small web server with files, which behaves as badly as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attrs import define, field

CHUNK_BYTES = 65536


@define
class FileServer:
    """`files` by path. Of the next answers, `cuts` have the byte after which each ends, and `statuses` their status.

    `hold` makes every transfer wait before its last byte, until it is set. `requests` are the paths and ranges.
    """

    port: int = 0
    scheme: str = "http"
    files: dict[str, bytes] = field(factory=dict)
    redirects: dict[str, str] = field(factory=dict)
    cuts: list[int] = field(factory=list)
    statuses: list[int] = field(factory=list)
    takes_ranges: bool = True
    states_size: bool = True
    hold: threading.Event | None = None
    requests: list[tuple[str, str | None]] = field(factory=list)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.requests.append((request.path, wanted))
        if self.statuses:
            self._end(request, self.statuses.pop(0))
        elif request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif request.path not in self.files:
            self._end(request, 404)
        else:
            self._send(request, self.files[request.path], wanted if self.takes_ranges else None)

    def _end(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _send(self, request: BaseHTTPRequestHandler, data: bytes, wanted: str | None) -> None:
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(data) > 0 and wanted:
            self._end(request, 416)
            return
        request.send_response(206 if wanted else 200)
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.states_size:
            request.send_header("Content-Length", str(len(data) - start))
        else:
            request.close_connection = True
        request.end_headers()
        end = self.cuts.pop(0) if self.cuts else len(data)
        request.wfile.write(data[start : end - 1])
        request.wfile.flush()
        if self.hold is not None:
            self.hold.wait()
        if end < len(data):
            request.close_connection = True
        request.wfile.write(data[max(end - 1, start) : end])


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the library's name
            try:
                server.answer(self)
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def file_server(certificate: Path | None = None) -> Iterator[FileServer]:
    """Serves on a free port of 127.0.0.1; with HTTPS if there is a file with certificate and key."""
    served = FileServer(scheme="http" if certificate is None else "https")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    served.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        if served.hold is not None:
            served.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
