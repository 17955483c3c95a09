"""The HTTP or HTTPS server around the recorded MAAS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.maas_api.messages import Answer, Request
from tests.maas_api.routes import answer
from tests.maas_api.state import Maas

_FORM = "application/x-www-form-urlencoded"


@contextmanager
def serving(maas: Maas, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Yields the address, such as `http://127.0.0.1:4321/MAAS`; `certificate` has the files of an HTTPS server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"maas": maas}))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake is part of the first read, in the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}/MAAS"
    finally:
        if maas.hold is not None:
            maas.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its head
    maas: Maas

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has gone, or rejects the certificate
            self.close_connection = True

    def do_GET(self) -> None:  # the library's name, as those below
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        maas = self.maas
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with maas.lock:
            maas.at_once += 1
            maas.most_at_once = max(maas.most_at_once, maas.at_once)
        try:
            if maas.hold is not None:
                maas.hold.wait()
            found = answer(maas, urlsplit(self.path).path, self._request(body))
        finally:
            with maas.lock:
                maas.at_once -= 1
        self._send(found)

    def _request(self, body: bytes) -> Request:
        is_form = (self.headers.get("Content-Type") or _FORM).startswith(_FORM)
        return Request(
            method=self.command,
            path="",
            query=parse_qs(urlsplit(self.path).query, keep_blank_values=True),
            form=parse_qs(body.decode(), keep_blank_values=True) if is_form else {},
            authorization=self.headers.get("Authorization") or "",
        )

    def _send(self, found: Answer) -> None:
        self.send_response(found.status)
        self.send_header("Content-Type", found.content_type)
        self.send_header("Content-Length", str(len(found.body)))
        self.send_header("Vary", "Authorization")
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(found.body)
